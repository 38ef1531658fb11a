"""What a layer of anybody's network takes or gives, as maps of features."""

from functools import lru_cache
from typing import Any, NamedTuple

from torch import Tensor, nn

from classaware.errors import InputError
from classaware.regularization.tokens import token_grid, tokens_to_maps

_MOST = 8  # first tokens of no place that are looked for: a class token and registers


class Place(NamedTuple):
    """Where features are taken.

    Attributes:
        text: as it was written.
        name: dotted name of the layer.
        takes_input: what the layer is given, not what it returns.
        prefix: how many of the first tokens have no place in the image; None: to be found.
    """

    text: str
    name: str
    takes_input: bool
    prefix: int | None


def parse_place(text: str) -> Place:
    """``name``, with ``:input`` behind it for what the layer is given, and ``+N`` for N first tokens of no place.

    Raises:
        InputError: something else behind the name.
    """
    path, plus, prefix = text.partition("+")
    name, colon, end = path.partition(":")
    if colon and end != "input":
        raise InputError(f"layer {text!r}: behind the colon only 'input' is known.")
    if plus and not (prefix.isdecimal() and len(prefix) < 6):
        raise InputError(
            f"layer {text!r}: behind the plus stands how many first tokens have no place in the image, such as +1."
        )
    return Place(text, name, end == "input", int(prefix) if plus else None)


def to_maps(x: Any, place: Place, layer: nn.Module, images: Tensor) -> Tensor:
    """Features (B, C, h, w) of what was taken.

    Args:
        x: maps (B, C, h, w), or (B, h, w, C) where the layer works on the last dimension, or tokens (B, N, C).
        place: where it was taken.
        layer: which takes or gives it.
        images: (B, 3, H, W); tokens fill a grid with their ratio of sides.

    Raises:
        InputError: something else, or tokens that fill no such grid.
    """
    if not isinstance(x, Tensor) or x.ndim not in (3, 4) or len(x) != len(images):
        shape = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(
            f"layer {place.text!r} gives {shape} for {len(images)} images: name a layer with maps (images, channels, "
            "height, width) or tokens (images, tokens, channels)."
        )
    size = (images.shape[2], images.shape[3])
    if x.ndim == 3:
        prefix, grid = _grid(x, place, size)
        return tokens_to_maps(x, prefix, grid, size)
    if place.prefix is not None:
        raise InputError(f"layer {place.text!r} gives maps, not tokens: leave +{place.prefix} out.")
    return x.permute(0, 3, 1, 2) if _last(layer) else x


def _last(layer: nn.Module) -> bool:
    """Whether a layer's channels are the last dimension. (A subclass of LayerNorm may turn maps around and back.)"""
    return isinstance(layer, nn.Linear) or (type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1)


def _grid(x: Tensor, place: Place, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    count = x.shape[1]
    if place.prefix is None:
        found = find_grid(count, size)
        if found is not None:
            return found
        lacking = f"{count} tokens that fill no one grid"
        cure = "say behind the layer's name how many first tokens have no place in the image, such as +1 or +0"
    else:
        grid = token_grid(count - place.prefix, size)
        if grid is not None:
            return place.prefix, grid
        lacking = f"whose tokens but for the first {place.prefix} fill no grid"
        cure = f"correct +{place.prefix}"
    raise InputError(
        f"layer {place.text!r} gives shape {tuple(x.shape)}, {lacking} with the sides' ratio of "
        f"images of {size[0]} x {size[1]}: {cure}, or name a layer with maps (B, C, height, width)."
    )


@lru_cache(maxsize=256)
def find_grid(count: int, size: tuple[int, int]) -> tuple[int, tuple[int, int]] | None:
    """How many of the first tokens have no place in the image, 0 to 8, and the grid (h, w) of the others.

    The one number that leaves a grid with the sides' ratio of ``size``, less than a token off it; of several the one
    with exactly that ratio, unless all tokens fill a grid that is only nearly so. None where that does not decide.
    """
    grids = {prefix: token_grid(count - prefix, size) for prefix in range(_MOST + 1)}
    fitting = [(prefix, grid) for prefix, grid in grids.items() if grid is not None]
    exact = [found for found in fitting if found[1][0] * size[1] == found[1][1] * size[0]]
    if len(fitting) > 1:
        fitting = exact[:1] if exact and (exact[0][0] == 0 or grids[0] is None) else []
    return fitting[0] if fitting else None
