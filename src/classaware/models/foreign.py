"""Anybody's network as one of ours: logits and the features of a named layer."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.segmenter import SegmenterOutput

_LOGITS = ("logits", "out")  # transformers' outputs; torchvision's dictionaries


class ForeignNetwork(nn.Module):
    """Wraps a segmentation network so that it can be measured and looked at as a `Segmenter`.

    Args:
        network: takes float images (B, 3, H, W) in [0, 1] (a normalization belongs into it) and returns logits
            (B, K, h, w): a tensor, a mapping with "logits" or "out", an object with ``.logits``, or a sequence whose
            first entry is one of these.
        layer: dotted name of the submodule whose output, (B, C, h, w), are the features; "name:input" takes what the
            submodule is given instead, such as a classifier's features.
        num_classes: K.

    Raises:
        InputError: no such layer; when called, an output without logits of K classes, or features of another shape.
    """

    def __init__(self, network: nn.Module, layer: str, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.layer = layer
        self.num_classes = num_classes
        name, _, end = layer.partition(":")
        if end not in ("", "input"):
            raise InputError(f"layer {layer!r}: behind the colon only 'input' is known.")
        self._takes_input = end == "input"
        self._module = [_find(network, name)]  # in a list: it is part of the network, not a second child

    def forward(self, images: Tensor) -> SegmenterOutput:
        """Logits, and the layer's features as the only tap."""
        taken: list[Any] = []

        def take_output(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            taken.append(_kept(output))

        def take_input(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            taken.append(_kept(next(iter((*inputs, *named.values())), None)))

        layer = self._module[0]
        if self._takes_input:
            handle = layer.register_forward_pre_hook(take_input, with_kwargs=True)
        else:
            handle = layer.register_forward_hook(take_output)
        try:
            logits = find_logits(self.network(images))
        finally:
            handle.remove()
        if logits.ndim != 4 or logits.shape[:2] != (len(images), self.num_classes):
            raise InputError(
                f"the network returns logits of shape {tuple(logits.shape)} for {len(images)} images; with "
                f"{self.num_classes} classes they must be ({len(images)}, {self.num_classes}, height, width)."
            )
        return SegmenterOutput(logits, (self._features(taken),))

    def _features(self, taken: list[Any]) -> Tensor:
        if not taken:
            raise InputError(f"layer {self.layer!r} did not run: name one that every forward pass goes through.")
        features = taken[-1]
        if not isinstance(features, Tensor) or features.ndim != 4:
            shape = f"shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
            raise InputError(
                f"layer {self.layer!r} gives {shape}: name a layer with maps (images, channels, height, width)."
            )
        return features

    def fold(self) -> "ForeignNetwork":
        """Itself: there is nothing to fold."""
        return self


def _kept(value: Any) -> Any:
    """The tensor in what a layer takes or gives, copied: a later layer may overwrite it in place (ReLU, +=)."""
    if isinstance(value, Mapping):
        value = next(iter(value.values()), None) if len(value) == 1 else value
    elif isinstance(value, Sequence) and len(value) > 0:
        value = value[0]
    return value.clone() if isinstance(value, Tensor) else value


def find_logits(output: Any) -> Tensor:
    """The logits in what a segmentation network returns, see `ForeignNetwork`.

    Raises:
        InputError: there are none.
    """
    if isinstance(output, Tensor):
        return output
    for name in _LOGITS:
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    if isinstance(output, Sequence) and len(output) > 0:
        return find_logits(output[0])
    raise InputError(
        f"the network returns {type(output).__name__}, in which no logits are found: return a tensor, a dictionary "
        "with 'logits' or 'out', an object with .logits, or a sequence whose first entry is one of these."
    )


def _find(network: nn.Module, name: str) -> nn.Module:
    modules = dict(network.named_modules(remove_duplicate=False))  # a shared module has several names
    modules.pop("", None)
    if name not in modules:
        near = get_close_matches(name, modules, 3, 0.4) or list(modules)[-3:]
        raise InputError(f"the network has no layer {name!r}: there are, among others, {', '.join(near) or 'none'}.")
    return modules[name]
