"""timm's feature extractors with what segmentation adds to them; their errors in one sentence."""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import timm
from timm.layers import DropPath
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from classaware.errors import InputError


def create_extractor(
    name: str,
    output_stride: int,
    levels: int,
    pretrained: bool,
    state: dict[str, Tensor] | None,
    drop_path: float | None,
) -> Any:
    """timm's ``name`` as a feature extractor; ``state`` is a checked state dict in place of timm's weights."""
    if drop_path is not None and not 0 <= drop_path < 1:
        raise InputError(f"drop_path={drop_path} must be at least 0 and below 1.")
    # Only asked for where needed: several families refuse the argument even at its default.
    options: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    if name.startswith("swin"):
        # Sizes other than that of the pretraining; always_partition keeps the last stage's shifted windows.
        options |= {"strict_img_size": False, "always_partition": True}
    if name.startswith("hrnet"):
        # The four branches themselves; timm's default are maps widened by a part of the classification head.
        options["feature_location"] = ""
    if drop_path is not None:
        options["drop_path_rate"] = drop_path
    options |= {"features_only": True, "out_indices": tuple(range(-levels, 0))}
    try:
        network = _create(name, pretrained, state, options)
    except InputError:
        raise
    except (TypeError, NotImplementedError, AssertionError, ValueError, IndexError, RuntimeError) as error:
        if "drop_path_rate" in str(error):
            raise _no_drop_path(name, drop_path) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if output_stride < 32:
            raise _no_output_stride(name, output_stride, reason) from error
        raise InputError(f"backbone {name!r} cannot be built with levels={levels} ({reason}).") from error
    stride = max(network.feature_info.reduction())
    if stride > output_stride:  # some families of timm take the argument and leave it
        raise _no_output_stride(name, output_stride, f"its maps have stride {stride}")
    if drop_path and not any(isinstance(layer, DropPath) for layer in network.modules()):
        raise _no_drop_path(name, drop_path)
    return network


def create_top(
    name: str, network: nn.Module, pretrained: bool, state: dict[str, Tensor] | None
) -> tuple[nn.Sequential, int]:
    """The 1x1 convolution, norm and activation that close an EfficientNet, and their channels.

    timm's extractor leaves them out.
    """
    layers = None
    if isinstance(network, EfficientNetFeatures):
        whole = _create(name, pretrained, state, {"num_classes": 0})
        layers = OrderedDict(conv_head=whole.conv_head, bn2=whole.bn2)
    if layers is None or not isinstance(layers["conv_head"], nn.Conv2d):
        raise InputError(
            f"top=True: backbone {name!r} has no last 1x1 convolution; leave top out, or take one of the EfficientNet "
            "family, such as tf_efficientnet_b5."
        )
    return nn.Sequential(layers), layers["conv_head"].out_channels


def dilate_last_stage(name: str, network: nn.Module, output_stride: int, multi_grid: tuple[int, ...]) -> None:
    """Give the 3x3 convolutions of block i of a ResNet's last stage dilation 32 / output_stride * multi_grid[i]."""
    stage = getattr(network, "layer4", None)
    blocks = list(stage) if isinstance(stage, Iterable) else []
    if not blocks or not all(isinstance(block, BasicBlock | Bottleneck) for block in blocks):
        raise InputError(f"multi_grid={multi_grid}: backbone {name!r} is no ResNet; leave multi_grid out.")
    if len(multi_grid) != len(blocks) or min(multi_grid) < 1:
        raise InputError(
            f"multi_grid={multi_grid}: the last stage of backbone {name!r} has {len(blocks)} blocks; set "
            f"network.backbone.multi_grid to {len(blocks)} factors of at least 1, or to [] for none."
        )
    for block, factor in zip(blocks, multi_grid, strict=True):
        dilation = 32 // output_stride * factor
        for layer in block.children():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (dilation, dilation)


def _create(name: str, pretrained: bool, state: dict[str, Tensor] | None, options: dict[str, Any]) -> Any:
    if state is not None:
        options = options | {"pretrained_cfg_overlay": {"state_dict": state}}
    # It lists the tensors of the classification head, which an extractor leaves out: a screen full for HRNet.
    log = logging.getLogger("timm.models._builder")
    log.addFilter(_is_news)
    try:
        network = timm.create_model(name, pretrained=pretrained or state is not None, **options)
    except OSError as error:
        raise InputError(
            f"the weights of backbone {name!r} could not be downloaded ({type(error).__name__}). Use "
            "network.backbone.weights=FILE, or pretrained=no for random weights, or pretrained=offline with "
            "tf_efficientnet_lite0."
        ) from error
    finally:
        log.removeFilter(_is_news)
    # timm keeps a second copy of the weights here, which every copy of the network would carry along.
    network.pretrained_cfg.pop("state_dict", None)
    return network


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Unexpected keys")


def _no_drop_path(name: str, drop_path: float | None) -> InputError:
    return InputError(f"drop_path={drop_path}: backbone {name!r} has no stochastic depth; leave drop_path out.")


def _no_output_stride(name: str, output_stride: int, reason: str) -> InputError:
    return InputError(
        f"backbone {name!r} cannot be built with output_stride={output_stride} ({reason}): set "
        "network.backbone.output_stride to 32 (network.jpu makes stride 8 of a pyramid)."
    )
