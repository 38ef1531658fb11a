"""Features small enough for a page: the components that hold most of the dot products, in 8 bits each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from classaware.errors import InputError
from classaware.insight.relation import FORMS

_ENOUGH = 1 - 1e-5  # of the energy: what is left out is then below the rounding to 8 bits
_LEVELS = 255
_QUERIES = 5  # rows and columns of the cells whose exact maps are compared


class SecondMoment:
    """Sum of x xᵀ over the cells of many images, float64, on the CPU; uncentered, because dot products are.

    Args:
        name: of the network, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._sum_CC: Tensor | None = None

    def add(self, features_CHW: Tensor) -> None:
        """Add an image's features (C, h, w), any float type.

        Raises:
            InputError: features that are not finite, or have another number of channels than those before.
        """
        if not bool(torch.isfinite(features_CHW).all()):
            raise InputError(
                f"network {self.name!r} makes features that are nan or infinite: its training has diverged. Use an "
                "earlier checkpoint."
            )
        x_CP = features_CHW.flatten(1).double()
        if self._sum_CC is not None and len(self._sum_CC) != len(x_CP):
            raise InputError(
                f"network {self.name!r} makes {len(x_CP)} channels of one image and {len(self._sum_CC)} of another: "
                "name a layer whose channels do not depend on the image."
            )
        product_CC = x_CP @ x_CP.T
        self._sum_CC = product_CC if self._sum_CC is None else self._sum_CC.add_(product_CC)

    def basis(self) -> "Basis":
        """The directions by falling energy."""
        if self._sum_CC is None:
            raise InputError(f"network {self.name!r} has seen no image: give at least one.")
        energy_C, vectors_CC = torch.linalg.eigh(self._sum_CC)
        return Basis(vectors_CC.flip(1), energy_C.flip(0).clamp(min=0))


class Basis(NamedTuple):
    """Orthonormal directions in the space of features.

    Attributes:
        vectors_CC: float64, one direction a column.
        energy_C: float64, the sum of squares along each, falling.
    """

    vectors_CC: Tensor
    energy_C: Tensor

    def enough(self) -> int:
        """How many components are worth having: more would be lost in the rounding."""
        needed = _ENOUGH * float(self.energy_C.sum())
        return min(int((self.energy_C.cumsum(0) < needed).sum()) + 1, len(self.energy_C))

    def kept(self, components: int) -> float:
        """Share of the energy in the first ``components``; 1 where there is no energy at all."""
        total = float(self.energy_C.sum())
        return float(self.energy_C[:components].sum()) / total if total > 0 else 1.0

    def project(self, features_CHW: Tensor, components: int) -> Tensor:
        """Features (C, h, w) as float64 (d, h, w)."""
        return torch.einsum("cd,chw->dhw", self.vectors_CC[:, :components], features_CHW.double())


class Quantized(NamedTuple):
    """Projected features in 8 bits: value = low + step * level, everything in float32.

    Attributes:
        levels_PD: uint8 (h * w, d).
        low_D: float32, smallest value of a component.
        step_D: float32, at least 0.
        grid: (h, w).
    """

    levels_PD: NDArray[np.uint8]
    low_D: NDArray[np.float32]
    step_D: NDArray[np.float32]
    grid: tuple[int, int]

    def values(self) -> Tensor:
        """What the page computes with, float32 (d, h, w)."""
        values_PD = self.low_D + self.step_D * self.levels_PD.astype(np.float32)
        return torch.from_numpy(values_PD.T.reshape(-1, *self.grid))


def quantize(projected_DHW: Tensor) -> Quantized:
    """Round every component (d, h, w) of an image to 256 levels between its smallest and its largest value.

    Zero, where it lies between them, is a level: a cell without features stays without, and its cosines are 0.
    """
    z_PD = projected_DHW.flatten(1).T.numpy().astype(np.float64)
    low_D = z_PD.min(axis=0).astype(np.float32)
    step_D = ((z_PD.max(axis=0) - low_D).clip(0) / _LEVELS).astype(np.float32)
    # A multiple of the step moves by half a step at most, and is exact in float32: 0 = low + step * level.
    zero_D = (low_D <= 0) & (z_PD.max(axis=0) >= 0)
    low_D = np.where(zero_D, step_D * np.rint(low_D / np.where(step_D > 0, step_D, 1)), low_D).astype(np.float32)
    levels_PD = np.rint((z_PD - low_D) / np.where(step_D > 0, step_D, 1))
    grid = (projected_DHW.shape[1], projected_DHW.shape[2])
    return Quantized(levels_PD.clip(0, _LEVELS).astype(np.uint8), low_D, step_D, grid)


@dataclass
class Fidelity:
    """How well the page's maps agree with the exact ones: Pearson's correlation over the cells of a map.

    Attributes:
        name: of the network.
        channels: C.
        components: d.
        kept: share of the energy of the features in them.
        correlations: by form of the map, one a sampled pixel; maps that are constant have none.
    """

    name: str
    channels: int
    components: int
    kept: float
    correlations: dict[str, list[float]] = field(default_factory=lambda: {form: [] for form in FORMS})

    def add(self, exact_CHW: Tensor, shown_DHW: Tensor) -> None:
        """Compare the maps of a lattice of cells, from the exact features and from those of the page."""
        height, width = exact_CHW.shape[1:]
        rows, columns = _lattice(height), _lattice(width)
        at = torch.tensor([row * width + column for row in rows for column in columns])
        for form in FORMS:
            exact, shown = (_maps(x, at, form) for x in (exact_CHW, shown_DHW))
            self.correlations[form] += _pearson(exact, shown)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; null where no map varies."""
        numbers: dict[str, Any] = {}
        for form, values in self.correlations.items():
            mean, least = (sum(values) / len(values), min(values)) if values else (None, None)
            numbers[form] = {"mean": mean, "minimum": least, "maps": len(values)}
        return {
            "name": self.name,
            "channels": self.channels,
            "components": self.components,
            "kept": self.kept,
            "correlation": numbers,
        }


def _lattice(size: int) -> list[int]:
    """Cells spread over an axis, away from its ends."""
    return sorted({(2 * i + 1) * size // (2 * _QUERIES) for i in range(_QUERIES)})


def _maps(features: Tensor, at: Tensor, form: str) -> Tensor:
    """Relation maps (queries, cells) up to a factor, which a correlation does not see."""
    x_CP = features.flatten(1).double()
    if form == "cosine":
        x_CP = F.normalize(x_CP, dim=0, eps=1e-300)
    return x_CP[:, at].T @ x_CP


def _pearson(first: Tensor, second: Tensor) -> list[float]:
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (first, second))
    spread = a.norm(dim=1) * b.norm(dim=1)
    # A constant map varies by rounding alone.
    varies, also = (x.norm(dim=1) > 1e-9 * y.norm(dim=1) for x, y in ((a, first), (b, second)))
    # A page's map that is constant where the exact one is not, or the other way round, has nothing of it.
    found = torch.where(varies & also, (a * b).sum(dim=1) / torch.where(spread > 0, spread, 1), 0.0)
    values: Sequence[float] = found[varies | also].tolist()
    return list(values)
