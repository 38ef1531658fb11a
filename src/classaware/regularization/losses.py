"""The three terms of CAR, one function an equation: the readable reference.

Every function takes float features (B, P, C), works in their dtype and returns the two sides of a mean, for the pixels
of a batch may lie in several processes; :func:`f_mse` makes the loss of it. Gradients flow to ``x_BPC`` in intra_c2p
and inter_c2p and to ``query_BKC`` in inter_c2c, and nowhere else: centers are held fixed where pixels are compared with
them, and the key side is held fixed where centers are compared with centers (authors' code; unstated in the paper).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from classaware.regularization.presets import Knobs

CLIP = 1e-7  # of every row sum, in the authors' code
FLOOR = 1e-5  # of intra_c2p, in the authors' code


class Mean(NamedTuple):
    """What a mean is made of.

    Attributes:
        total: sum over the elements that count (of their squares under ``mean_of_squares``).
        number: how many they are.
    """

    total: Tensor
    number: Tensor


def f_mse(mean: Mean, knobs: Knobs) -> Tensor:
    """Eqs. 7 and 14, and Eq. 2 but for its floor; a zero that keeps the graph where there is nothing to average."""
    mean_value = mean.total / mean.number.clamp(min=1)
    return mean_value if knobs.reduction == "mean_of_squares" else mean_value.square()


def with_floor(loss: Tensor, mean: Mean, knobs: Knobs) -> Tensor:
    """The floor under intra_c2p that belongs to the authors' square of a mean."""
    if knobs.reduction == "mean_of_squares":
        return loss
    return torch.where(mean.number > 0, loss.clamp(min=FLOOR), loss)


def intra_c2p(x_BPC: Tensor, y_BP: Tensor, valid_BP: Tensor, mu_BKC: Tensor, knobs: Knobs, drop_max: bool) -> Mean:
    """Intra-class center-to-pixel loss (Eqs. 2 and 3): pulls each pixel to the center of its class.

    Args:
        x_BPC: features.
        y_BP: int64 labels, any class where not valid.
        valid_BP: bool, labelled pixels (1 - sigma of Eq. 3).
        mu_BKC: class centers, B or 1 of them.
        knobs: ``reduction`` and ``ignored`` are read.
        drop_max: leave the largest distance of each image and channel out.
    """
    B, P, C = x_BPC.shape
    mu_BKC = mu_BKC.detach().expand(B, -1, -1)
    target_BPC = mu_BKC.gather(1, y_BP.unsqueeze(-1).expand(-1, -1, C))
    distance_BPC = (target_BPC - x_BPC).abs() * valid_BP.unsqueeze(-1)
    pixels_B = valid_BP.sum(1) if knobs.ignored == "exclude" else torch.full_like(valid_BP[:, 0], P, dtype=torch.long)
    if drop_max:
        pixels_B = (pixels_B - 1).clamp(min=0)
        keep_BPC = torch.ones_like(distance_BPC).scatter(1, distance_BPC.argmax(1, keepdim=True), 0)
        distance_BPC = distance_BPC * keep_BPC
    elements = pixels_B.sum() * C
    squares = knobs.reduction == "mean_of_squares"
    return Mean(distance_BPC.square().sum() if squares else distance_BPC.sum(), elements)


def inter_c2c(query_BKC: Tensor, key_BKC: Tensor, present_BK: Tensor, margin: float, knobs: Knobs) -> Mean:
    """Inter-class center-to-center loss (Eqs. 4 to 7): pushes the centers of different classes apart.

    Args:
        query_BKC: class centers, which get the gradient (softmax runs over the keys of one query).
        key_BKC: the same centers, held fixed.
        present_BK: bool, classes that have a center.
        margin: epsilon_0 of Eq. 6.
        knobs: ``reduction`` and ``absent`` are read.
    """
    K, C = query_BKC.shape[1:]
    similarity_BKK = query_BKC @ key_BKC.detach().transpose(1, 2) / C**0.5  # Eq. 4
    takes_part_BK = takes_part(present_BK, knobs)
    other_BKK = ~torch.eye(K, dtype=torch.bool, device=query_BKC.device) & takes_part_BK.unsqueeze(1)
    row_BK = _dependency(similarity_BKK, other_BKK, takes_part_BK.unsqueeze(1), margin)  # Eqs. 5 and 6
    return _rows(row_BK, takes_part_BK, knobs)  # Eq. 7


def inter_c2p(
    x_BPC: Tensor,
    own_BPK: Tensor,
    valid_BP: Tensor,
    mu_BKC: Tensor,
    present_BK: Tensor,
    margin: float,
    knobs: Knobs,
) -> Mean:
    """Inter-class center-to-pixel loss (Eqs. 8 to 14): pushes each pixel off the centers of all other classes.

    Eq. 10 as printed adds the diagonal to every pixel; here it replaces a pixel's similarity to its own class, as the
    text and the authors' code have it.

    Args:
        x_BPC: features.
        own_BPK: bool, one-hot labels, all False where not valid.
        valid_BP: bool, labelled pixels.
        mu_BKC: class centers, B or 1 of them.
        present_BK: bool, classes that have a center.
        margin: epsilon_1 of Eq. 13.
        knobs: all four are read.
    """
    mu_BKC = mu_BKC.detach()
    similarity_BPK = x_BPC @ mu_BKC.transpose(1, 2)  # Eq. 8
    ideal_BK = mu_BKC.square().sum(-1)  # Eq. 9
    similarity_BPK = torch.where(own_BPK, ideal_BK.unsqueeze(1), similarity_BPK)  # Eq. 10
    if knobs.c2p_scale == "sqrt_channels":
        similarity_BPK = similarity_BPK / x_BPC.shape[-1] ** 0.5
    takes_part_B1K = takes_part(present_BK, knobs).unsqueeze(1)
    pixel_BP = _dependency(similarity_BPK, ~own_BPK & takes_part_B1K, takes_part_B1K, margin)  # Eqs. 11 to 13
    counted_BP = valid_BP if knobs.ignored == "exclude" else torch.ones_like(valid_BP)
    return _rows(pixel_BP, counted_BP, knobs)  # Eq. 14


def takes_part(present_BK: Tensor, knobs: Knobs) -> Tensor:
    """Which classes take part in softmax and rows."""
    return present_BK if knobs.absent == "exclude" else torch.ones_like(present_BK)


def _dependency(similarity_BRK: Tensor, other_BRK: Tensor, takes_part_B1K: Tensor, margin: float) -> Tensor:
    """Eqs. 6 and 13: what a row's softmax gives to other classes beyond each one's share of the margin, summed."""
    # A finite minimum, for with -inf a row in which no class takes part would be NaN.
    lowest = torch.finfo(similarity_BRK.dtype).min
    attention_BRK = similarity_BRK.masked_fill(~takes_part_B1K, lowest).softmax(-1)
    share_B11 = margin / (takes_part_B1K.sum(-1, keepdim=True) - 1).clamp(min=1).to(similarity_BRK.dtype)
    excess_BRK = (attention_BRK - share_B11).relu()
    return (excess_BRK * other_BRK).sum(-1)


def _rows(row_BR: Tensor, counted_BR: Tensor, knobs: Knobs) -> Mean:
    """The rows that count, to be averaged."""
    row_BR = row_BR.square() if knobs.reduction == "mean_of_squares" else row_BR.clamp(CLIP, 1 - CLIP)
    return Mean((row_BR * counted_BR).sum(), counted_BR.sum())
