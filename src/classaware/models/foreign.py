"""Anybody's network as one of ours: logits and the features of a named layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.foreign_features import parse_place, to_maps
from classaware.models.segmenter import SegmenterOutput
from classaware.regularization.layer_names import among_others, named_layers

_LOGITS = ("logits", "out")  # transformers' outputs; torchvision's dictionaries


class ForeignNetwork(nn.Module):
    """Wraps a segmentation network so that it can be measured and looked at as a `Segmenter`.

    Args:
        network: takes float images (B, 3, H, W) in [0, 1] (a normalization belongs into it) and returns logits
            (B, K, h, w): a tensor, a mapping with "logits" or "out", an object with ``.logits``, or a sequence whose
            first entry is one of these.
        layer: dotted name of the submodule whose output are the features: maps (B, C, h, w), or (B, h, w, C) of an
            ``nn.Linear`` or ``nn.LayerNorm``, or tokens (B, N, C), which fill a grid with the images' ratio of sides.
            "name:input" takes what the submodule is given instead, such as a classifier's features. "name+5" says
            that the first five tokens have no place in the image (class token, registers); up to eight are found
            without it. None: no features, an output without taps.
        num_classes: K.
        name: of the network, in errors; None: that of its class.

    Raises:
        InputError: no such layer; when called, a network that raises an error of its own (its cause), an output
            without logits of K classes, or features of another shape.
    """

    def __init__(self, network: nn.Module, layer: str | None, num_classes: int, name: str | None = None) -> None:
        super().__init__()
        self.network = network
        self.layer = layer
        self.num_classes = num_classes
        self.name = name or type(network).__name__
        self._place = None if layer is None else parse_place(layer)
        # In a list: it is part of the network, not a second child.
        self._module = [] if self._place is None else [_find(network, self._place.name, self.name)]

    def forward(self, images: Tensor) -> SegmenterOutput:
        """Logits, and the layer's features as the only tap."""
        if self._place is None:
            return SegmenterOutput(self._logits(self._predict(images), images), ())
        taken: list[Any] = []

        def take_output(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            taken.append(_kept(output))

        def take_input(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            taken.append(_kept(next(iter((*inputs, *named.values())), None)))

        layer = self._module[0]
        if self._place.takes_input:
            handle = layer.register_forward_pre_hook(take_input, with_kwargs=True)
        else:
            handle = layer.register_forward_hook(take_output)
        try:
            output = self._predict(images)
        finally:
            handle.remove()
        return SegmenterOutput(self._logits(output, images), (self._features(taken, images),))

    def _logits(self, output: Any, images: Tensor) -> Tensor:
        logits = find_logits(output)
        if logits.ndim != 4 or logits.shape[:2] != (len(images), self.num_classes):
            raise InputError(
                f"network {self.name!r} returns logits of shape {tuple(logits.shape)} for {len(images)} images; with "
                f"{self.num_classes} classes they must be ({len(images)}, {self.num_classes}, height, width)."
            )
        return logits

    def _predict(self, images: Tensor) -> Any:
        try:
            return self.network(images)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever another's code raises
            raise InputError(
                f"network {self.name!r} fails on images of shape {tuple(images.shape)}: {type(error).__name__}: {error}"
            ) from error

    def _features(self, taken: list[Any], images: Tensor) -> Tensor:
        assert self._place is not None
        if not taken:
            raise InputError(f"layer {self.layer!r} did not run: name one that every forward pass goes through.")
        return to_maps(taken[-1], self._place, self._module[0], images)

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


def _find(network: nn.Module, name: str, title: str) -> nn.Module:
    layers = named_layers(network)
    if name not in layers:
        raise InputError(f"network {title!r} has no layer {name!r}: {among_others(name, layers)}.")
    return layers[name]
