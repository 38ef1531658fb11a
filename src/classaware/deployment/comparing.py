"""How far an exported network is from the one that was trained."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.evaluation.inference import resize_logits

# Images, height and width: one image and several, square and not, divisible by a stride and not.
CASES = ((1, 129, 129), (2, 97, 210), (3, 224, 160))
# Of the largest logit. Rounding gives about 1e-6; a size that the exported network treats wrongly gives more than this.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Comparison:
    """The two networks on the same random images.

    Attributes:
        images: how many.
        height: of the images.
        width: of the images.
        difference: the largest absolute difference of two logits.
        relative: the same over the largest absolute logit.
        other_class: share of the positions at which another class has the largest logit.
    """

    images: int
    height: int
    width: int
    difference: float
    relative: float
    other_class: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@torch.no_grad()
def compare(
    original: nn.Module,
    exported: Callable[[Tensor], Any],
    full_size: bool,
    cases: Sequence[tuple[int, int, int]] = CASES,
) -> list[Comparison]:
    """Both networks on random images.

    Args:
        original: a `Segmenter` in eval mode, not folded, as it was trained.
        exported: images to an object with logits, at the images' size if ``full_size``.
        full_size: bring the original's logits there too.
        cases: numbers of images, heights and widths.

    Raises:
        InputError: the original returns logits that are no numbers; logits of another shape than the original's.
    """
    found = []
    for seed, (count, height, width) in enumerate(cases):
        images = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
        wanted = original(images).logits
        if full_size:
            wanted = resize_logits(wanted, (height, width))
        if not bool(wanted.isfinite().all()):
            raise InputError("the network returns logits that are no finite numbers: its training diverged.")
        given = exported(images).logits
        if given.shape != wanted.shape:
            raise InputError(
                f"the exported network returns logits of shape {tuple(given.shape)} for images of shape "
                f"{tuple(images.shape)}, the trained one {tuple(wanted.shape)}."
            )
        difference = float((given - wanted).abs().max())
        other = float((given.argmax(1) != wanted.argmax(1)).float().mean())
        largest = max(float(wanted.abs().max()), torch.finfo(torch.float32).tiny)
        found.append(Comparison(count, height, width, difference, difference / largest, other))
    return found
