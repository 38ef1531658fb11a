"""Class-dependency maps (Fig. 4 of the CAR paper): how much a class looks like every other class.

The map is Eq. 4 with the centers of a whole data set instead of those of a batch.
"""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from classaware.errors import InputError
from classaware.insight.centers import CenterAccumulator

Form = Literal["paper", "unit", "cosine"]
FORMS: tuple[Form, ...] = get_args(Form)


def dependency_map(centers: Tensor, present: Tensor) -> Tensor:
    """Softmax over the present classes of the scaled dot products of the class centers (Eq. 4 of the paper).

    Args:
        centers: (K, C) of a float type.
        present: (K,) bool.

    Returns:
        (K, K) float64; rows of present classes sum to 1, rows and columns of absent classes are nan.

    Raises:
        InputError: shapes that do not fit.
    """
    mu_KC = _present(centers, present)
    return _spread(torch.softmax(mu_KC @ mu_KC.T / math.sqrt(centers.shape[1]), dim=1), present)


def cosine_map(centers: Tensor, present: Tensor) -> Tensor:
    """Cosines of the class centers, as `dependency_map` takes and returns them; 0 for a center that is zero."""
    mu_KC = F.normalize(_present(centers, present), eps=1e-300)
    return _spread(mu_KC @ mu_KC.T, present)


def similarity_map(
    accumulator: CenterAccumulator, form: Form = "paper", present: Tensor | None = None, without: int | None = None
) -> Tensor:
    """The class-dependency map of a network.

    Args:
        accumulator: its centers.
        form: ``paper``: Eq. 4 as printed. It depends on the scale of the features, which a linear layer behind the tap
            can undo: compare it only between networks of one scale. ``unit``: Eq. 4 with the features divided by their
            root mean square, for any scale, but equal numbers of channels. ``cosine`` of the centers: for any networks.
        present: (K,) bool, the classes to take; None: all that occur.
        without: leave the images of this group out.

    Returns:
        (K, K) float64; nan in rows and columns of classes that are not taken.
    """
    present = accumulator.present if present is None else present
    centers = accumulator.centers(without)
    if form == "cosine":
        return cosine_map(centers, present)
    if form == "unit":
        # Features that are all zero have no scale, and their centers are zero at any.
        centers = centers / (accumulator.scale(without) or 1.0)
    return dependency_map(centers, present)


def _present(centers: Tensor, present: Tensor) -> Tensor:
    if centers.ndim != 2 or present.shape != centers.shape[:1]:
        raise InputError(
            f"The centers have shape {tuple(centers.shape)}, present has {tuple(present.shape)}. Give (K, C) and (K,)."
        )
    return centers[present].double()


def _spread(square: Tensor, present: Tensor) -> Tensor:
    """Back to all K classes, with nan for those that are absent."""
    index = present.nonzero().flatten()
    result = square.new_full((len(present), len(present)), math.nan)
    result[index[:, None], index] = square
    return result


def mean_dependency(dependency: Tensor) -> float:
    """Mean over the present classes of how much they depend on the others: the row sum without the diagonal.

    Between 0 (no dependency) and nearly 1. Only maps with the same present classes can be compared.

    Args:
        dependency: (K, K) as `dependency_map` returns it.

    Returns:
        The mean; nan if no class is present.
    """
    return float(_others(dependency).sum(dim=1).mean())


def mean_cosine(cosines: Tensor) -> float:
    """Mean over all pairs of two different present classes; nan if there is none.

    Args:
        cosines: (K, K) as `cosine_map` returns it.
    """
    others = _others(cosines)
    pairs = len(others) * (len(others) - 1)
    return float(others.sum()) / pairs if pairs else math.nan


def _others(square: Tensor) -> Tensor:
    """Of the present classes, with 0 on the diagonal."""
    present = ~square.diagonal().isnan()
    part = square[present][:, present]
    # Zeroed, not subtracted from the whole: that would lose every digit of a small dependency.
    return part.masked_fill(torch.eye(len(part), dtype=torch.bool, device=part.device), 0.0)
