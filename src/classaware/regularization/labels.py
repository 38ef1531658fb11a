"""Labels at the features' resolution, their one-hot form, and the check of their values."""

import torch
from torch import Tensor


def nearest_indices(size_in: int, size_out: int, device: torch.device) -> Tensor:
    """Source index of every output position under nearest resizing with aligned corners.

    ``floor(i * (size_in - 1) / (size_out - 1) + 1/2)`` in integer arithmetic, so that no rounding of a float decides
    (TensorFlow 1's ``align_corners`` rule of the authors' code; 513 to 65 takes every 8th).

    Returns:
        int64 (size_out,); ``[0]`` for ``size_out == 1``.
    """
    i = torch.arange(size_out, device=device)
    steps = max(size_out - 1, 1)
    return (2 * i * (size_in - 1) + steps) // (2 * steps)


def resize_labels(y_BHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring labels (B, H, W) to ``size`` = (height, width) by nearest resizing with aligned corners."""
    height, width = y_BHW.shape[-2:]
    if (height, width) == tuple(size):
        return y_BHW
    rows = nearest_indices(height, size[0], y_BHW.device)
    columns = nearest_indices(width, size[1], y_BHW.device)
    return y_BHW[:, rows][:, :, columns]


def without_classes(y_BHW: Tensor, classes: tuple[int, ...], ignore_index: int) -> Tensor:
    """Labels with ``ignore_index`` in the place of some classes."""
    if not classes:
        return y_BHW
    y_BHW = y_BHW.long()  # others may not hold ignore_index
    for index in classes:
        y_BHW = y_BHW.masked_fill(y_BHW == index, ignore_index)
    return y_BHW


def split_valid(y_BP: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Labels that can be used as an index everywhere, and where they mean something.

    Returns:
        y_BP int64 with 0 in place of what is not labelled, and valid_BP bool (label in [0, K) and not ignored).
    """
    y_BP = y_BP.long()
    valid_BP = (y_BP >= 0) & (y_BP < num_classes) & (y_BP != ignore_index)
    return y_BP.where(valid_BP, 0), valid_BP


def one_hot(y_BP: Tensor, valid_BP: Tensor, num_classes: int) -> Tensor:
    """Boolean one-hot (B, P, K); the row of a pixel that is not valid is all False (Y of the paper)."""
    classes_K = torch.arange(num_classes, device=y_BP.device)
    return (y_BP.unsqueeze(-1) == classes_K) & valid_BP.unsqueeze(-1)


@torch.library.custom_op("classaware::checked_labels", mutates_args=())
def checked_labels(
    y_BHW: Tensor, x_BCHW: Tensor, num_classes: int, ignore_index: int, check_labels: bool, check_finite: bool
) -> Tensor:
    """The labels, after a look at the values; an operator of its own, so that the look survives compilation.

    Raises:
        ValueError: a label that is neither a class nor ``ignore_index`` (names value and place), or a feature that is
            NaN or infinite (names the first place and how many).
    """
    if check_labels:
        y_BHW = y_BHW.long()
        bad = ((y_BHW < 0) | (y_BHW >= num_classes)) & (y_BHW != ignore_index)
        if bool(bad.any()):
            place = bad.nonzero()[0].tolist()
            value = int(y_BHW[tuple(place)])
            raise ValueError(
                f"labels: value {value} at {_at(place, 'image row column')} ({int(bad.sum())} such pixels) is neither "
                f"a class in [0, {num_classes}) nor ignore_index={ignore_index}. "
                "Map it to a class, or set ignore_index to it."
            )
    if check_finite:
        bad = ~torch.isfinite(x_BCHW)
        if bool(bad.any()):
            place = bad.nonzero()[0].tolist()
            raise ValueError(
                f"features: {int(bad.sum())} of {bad.numel()} values are NaN or infinite, the first at "
                f"{_at(place, 'image channel row column')}. The network diverged before CAR saw it: lower the "
                "learning rate, or look at the loss scaling."
            )
    return y_BHW.clone()


def _at(place: list[int], names: str) -> str:
    """A place in words; only the trailing dimensions are named where there are more (under vmap)."""
    named = names.split()
    return ", ".join(f"{name} {index}" for name, index in zip(named, place[-len(named) :], strict=True))


@checked_labels.register_fake
def _checked_labels_fake(
    y_BHW: Tensor, x_BCHW: Tensor, num_classes: int, ignore_index: int, check_labels: bool, check_finite: bool
) -> Tensor:
    return torch.empty_like(y_BHW)


def _checked_labels_vmap(info, in_dims, y_BHW, x_BCHW, *options):  # type: ignore[no-untyped-def]  # torch's protocol
    """The values are looked at one by one, so a further dimension changes nothing but where it stands."""
    moved = y_BHW if in_dims[0] is None else y_BHW.movedim(in_dims[0], 0)
    features = x_BCHW if in_dims[1] is None else x_BCHW.movedim(in_dims[1], 0)
    return checked_labels(moved, features, *options), None if in_dims[0] is None else 0


checked_labels.register_vmap(_checked_labels_vmap)
