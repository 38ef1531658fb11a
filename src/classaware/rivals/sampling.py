"""Random pixels of each class and image without a loop, a wait for the device, or a random generator.

Randomness is a hash of seed, step and position in integer arithmetic: the same on every device, and resumable from the
step alone.
"""

import torch
from torch import Tensor

_WORD = 2**32


def random_keys(count: int, seed: int, step: Tensor, stream: int) -> Tensor:
    """Pseudo-random integers in [0, 2^32), a function of the arguments alone.

    Args:
        count: how many.
        seed: any integer.
        step: int64 scalar on the device where the keys are wanted; other steps give other keys.
        stream: 0 or more; other streams give other keys in the same step.

    Returns:
        int64 (count,).
    """
    state = _mix((step + seed * 0x9E3779B9 % _WORD) % _WORD)
    state = _mix((state + stream * 0x7F4A7C15 + 1) % _WORD)
    positions = torch.arange(count, device=step.device)
    return _mix(_mix(positions) ^ state)


def _mix(x: Tensor) -> Tensor:
    """A bijective hash of 32-bit words held in int64 (the factor is small enough that nothing overflows)."""
    for _ in range(2):
        x = ((x >> 16) ^ x) * 0x45D9F3B % _WORD
    return (x >> 16) ^ x


def sample_pixels(
    y_BP: Tensor,
    valid_BP: Tensor,
    keys_N: Tensor,
    num_classes: int,
    per_class: int,
    limit: int,
    hard_BP: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose at most ``per_class`` pixels of each class in each image, and at most ``limit`` in all.

    Where the limit is short, every class of every image gives its first pixel before any gives a second.

    Args:
        y_BP: int64 labels in [0, K), anything valid where there is none.
        valid_BP: bool, pixels that have a label.
        keys_N: int64 in [0, 2^32), N = B*P; the pixels with the smallest keys of their class and image are chosen.
        num_classes: K.
        per_class: most pixels of one class and image.
        limit: length A of the answer, if there are that many pixels.
        hard_BP: bool, pixels to prefer: half of a class's pixels are hard ones, or as many as there are; the other half
            is filled from the others, and either half by the other kind where one kind runs out.

    Returns:
        int64 (A,) indices into the N pixels, all different, A = min(limit, N), and bool (A,): which of them are chosen.
        The others are fill that must take no part.
    """
    images, pixels = y_BP.shape
    groups = images * num_classes
    group_BP = torch.arange(images, device=y_BP.device).unsqueeze(1) * num_classes + y_BP
    part_BP = 2 * group_BP.where(valid_BP, groups)
    if hard_BP is not None:
        part_BP = part_BP + (hard_BP & valid_BP)
    part_N = part_BP.flatten()
    order_N = (part_N * _WORD + keys_N).argsort(stable=True)
    part_N, keys_N = part_N[order_N].contiguous(), keys_N[order_N]
    rank_N = torch.arange(images * pixels, device=y_BP.device) - torch.searchsorted(part_N, part_N)
    # Hard and other pixels of a group alternate, hard first; the longer kind goes on alone.
    others_N = torch.searchsorted(part_N, part_N ^ 1, right=True) - torch.searchsorted(part_N, part_N ^ 1)
    rank_N = rank_N + torch.minimum(rank_N + 1 - (part_N & 1), others_N)
    chosen_N = (part_N < 2 * groups) & (rank_N < per_class)
    first_A = (rank_N.where(chosen_N, images * pixels) * _WORD + keys_N).argsort(stable=True)[:limit]
    return order_N[first_A], chosen_N[first_A]
