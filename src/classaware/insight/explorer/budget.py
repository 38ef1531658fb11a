"""How much of the features a page has room for."""

import math
from collections.abc import Sequence

from classaware.errors import InputError
from classaware.insight.explorer.pack import feature_bytes
from classaware.insight.explorer.projection import Basis

MEGABYTE = 10**6
_FEWEST = 4  # components without which a map is not worth showing


def choose_components(
    bases: Sequence[Basis], cells: Sequence[Sequence[int]], fixed: int, limit_bytes: int
) -> list[int]:
    """How many components every network gets: the same number, unless fewer are worth having.

    Args:
        bases: one a network.
        cells: by network, cells of every image's features.
        fixed: bytes of all else.
        limit_bytes: of the page.

    Raises:
        InputError: even the fewest that show anything are too many.
    """
    caps = [basis.enough() for basis in bases]

    def size(count: int) -> int:
        return fixed + sum(
            feature_bytes(number, min(count, cap))
            for cap, of_images in zip(caps, cells, strict=True)
            for number in of_images
        )

    count = max(caps)
    while count > _FEWEST and size(count) > limit_bytes:
        count -= 1
    if size(count) > limit_bytes:
        needed = math.ceil(size(count) / 10**5) / 10
        raise InputError(
            f"the page may have {limit_bytes / MEGABYTE:.4g} MB, but pictures and predictions of {len(cells[0])} "
            f"images and {len(bases)} networks take {fixed / MEGABYTE:.3g} MB, and with {count} components of their "
            f"features {needed:.4g} MB: allow that much (--megabytes {needed:.4g}), or show fewer images."
        )
    return [min(count, cap) for cap in caps]
