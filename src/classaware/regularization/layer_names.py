"""Layers of somebody's network by their names, and the one that CAR is attached to."""

from collections.abc import Iterable
from difflib import get_close_matches

from torch import nn

from classaware.regularization.linear_map import Layer

# What stands in front of the class scores in segmentation_models_pytorch, transformers, torchvision and mmseg.
_CLASSIFIERS = (
    "segmentation_head.0",
    "segmentation_head.head.4",
    "decode_head.classifier",
    "decode_head.conv_seg",
    "classifier.high_classifier",
    "classifier.4",
)
# Networks that score queries, not pixels: what reads their maps (EoMT; Mask2Former, MaskFormer, OneFormer).
_MASKS = ("upscale_block.block.0.conv1", "pixel_level_module.decoder.mask_projection")


def named_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The submodules by their dotted names, of which a shared one has several."""
    return {name: module for name, module in network.named_modules(remove_duplicate=False) if name}


def among_others(name: str, layers: Iterable[str]) -> str:
    """What there is in place of a name that there is not: the nearest ones, else the last."""
    known = list(layers)
    near = get_close_matches(name, known, 3, 0.4) or known[-3:]
    return f"there are, among others, {', '.join(near) or 'none'}"


def find_layer(model: nn.Module, at: str | nn.Module, num_classes: int) -> tuple[str, Layer]:
    """The layer's name in the model and the layer.

    Args:
        model: any network.
        at: a dotted name, a submodule, or ``auto``: the classifier.
        num_classes: outputs of a classifier.

    Raises:
        ValueError: there is no such layer, it is neither a convolution nor linear, or ``auto`` finds none or several.
    """
    modules = named_layers(model)
    if isinstance(at, nn.Module):
        name = next((name for name, module in modules.items() if module is at), None)
        if name is None:
            raise ValueError(f"at={type(at).__name__}(...) is no layer of this model: give one that is in it.")
    elif at == "auto":
        name = _find_classifier({n: m for n, m in modules.items() if isinstance(m, Layer)}, num_classes)
    elif isinstance(at, str):
        name = at
    else:
        raise ValueError(f"at={at!r}: give a layer's name, the layer itself, or 'auto'.")
    if name not in modules:
        raise ValueError(f"the network has no layer {name!r}: {among_others(name, modules)}.")
    layer = modules[name]
    if not isinstance(layer, Layer):
        inside = [n for n, m in modules.items() if n.startswith(name + ".") and isinstance(m, Layer)]
        hint = f"in it there are {', '.join(inside[-3:])}" if inside else "name the layer that reads the features"
        raise ValueError(
            f"layer {name!r} is {type(layer).__name__}, neither a (transposed) 2d convolution nor linear: {hint}."
        )
    return name, layer


def _find_classifier(layers: dict[str, Layer], num_classes: int) -> str:
    """By its usual name, else as the only layer with that many outputs outside of auxiliary heads."""
    main = {name: layer for name, layer in layers.items() if "aux" not in name}
    scoring = [name for name, layer in main.items() if _outputs(layer) == num_classes]
    for usual in (*_CLASSIFIERS, *_MASKS):
        named = [name for name in main if f".{name}".endswith(f".{usual}")]
        found = named if usual in _MASKS else [name for name in named if name in scoring]
        if len(found) == 1:
            return found[0]
    other = [name for name in main if any(f".{name}".endswith(f".{usual}") for usual in _CLASSIFIERS)]
    if len(scoring) == 1 and not other:
        return scoring[0]
    if other:
        raise ValueError(
            f"at='auto' finds the classifier {other[-1]!r} with outputs: {_outputs(main[other[-1]])}, not "
            f"{num_classes} (num_classes): correct num_classes, the number of classes in the labels; or, where that is "
            f"right (two classes and one output), name the layer that reads the features, such as at={other[-1]!r}."
        )
    ends = scoring or list(main)[-3:]
    what = f"{len(scoring)} layers have" if scoring else "no layer has"
    raise ValueError(
        f"at='auto' finds no classifier: {what} {num_classes} outputs (num_classes). Name the layer that reads the "
        f"features, such as at={ends[-1] if ends else 'decode_head.classifier'!r}"
        + (f" (others: {', '.join(ends[-4:-1])})." if len(ends) > 1 else ".")
    )


def _outputs(layer: Layer) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
