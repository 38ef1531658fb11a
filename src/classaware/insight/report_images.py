"""The images that a report shows: where the runs differ most, the worst and the best."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from classaware.evaluation.statistics import Floats, nan_mean
from classaware.insight.images import colorize
from classaware.insight.report_blocks import SampleRow

UNLABELED = ((255, 255, 255), (150, 150, 150))  # stripes: a color alone might be that of a class

_BOX = (480, 360)  # columns and rows into which a picture is fitted
_STRIPE = 4  # width in pixels, along a row


class Chosen(NamedTuple):
    """An image to be shown.

    Attributes:
        image: its index.
        reason: "most gained", "most lost" (against the first run), "worst" or "best".
    """

    image: int
    reason: str


def image_scores(counts_nK3: NDArray[np.int64]) -> Floats:
    """Mean IoU of each image by itself, over the classes in its truth or prediction.

    Args:
        counts_nK3: true positives, false positives and false negatives.

    Returns:
        (n,) float64; nan for an image without a labeled pixel.
    """
    union_nK = counts_nK3.sum(axis=2)
    iou_nK = np.divide(counts_nK3[..., 0], union_nK, out=np.full(union_nK.shape, np.nan), where=union_nK > 0)
    return nan_mean(iou_nK, axis=1)


def choose_images(scores_Rn: Floats, count: int) -> list[Chosen]:
    """Choose up to ``count`` different images.

    Of several runs in turn the image that gained most over the first run, the one that lost most, the worst and the
    best by the mean over all runs; of one run the worst and the best. Images that are equal stay in their order, and
    what nothing gained or lost is not shown as such.

    Args:
        scores_Rn: float64, mean IoU of each image by each run; images with nan are left out.
        count: how many.

    Returns:
        The images, those that differ first, then the worst, then the best.
    """
    known = np.flatnonzero(~np.isnan(scores_Rn).any(axis=0))
    scores = scores_Rn[:, known]
    mean = scores.mean(axis=0)
    rankings: dict[str, list[int]] = {}
    if len(scores) > 1:
        change = scores[1:] - scores[0]
        gain, loss = change.max(axis=0), -change.min(axis=0)
        rankings["most gained"] = [i for i in _descending(gain) if gain[i] > 0]
        rankings["most lost"] = [i for i in _descending(loss) if loss[i] > 0]
    rankings |= {"worst": _descending(-mean), "best": _descending(mean)}
    return _in_turn({reason: [int(known[i]) for i in order] for reason, order in rankings.items()}, count)


def _descending(values: Floats) -> list[int]:
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    return order


def _in_turn(rankings: dict[str, list[int]], count: int) -> list[Chosen]:
    found: list[Chosen] = []
    while len(found) < count:
        before = len(found)
        for reason, order in rankings.items():
            taken = {chosen.image for chosen in found}
            following = next((index for index in order if index not in taken), None)
            if following is not None and len(found) < count:
                found.append(Chosen(following, reason))
        if len(found) == before:
            break
    return sorted(found, key=lambda chosen: list(rankings).index(chosen.reason))


def sample_row(caption: str, image: ArrayLike, labels: Sequence[ArrayLike], palette: ArrayLike) -> SampleRow:
    """Image, ground truth and predictions in the size of a page.

    Args:
        caption: of the row.
        image: uint8 (H, W, 3).
        labels: (H, W) of an integer type, the ground truth first.
        palette: (K, 3) of the classes; other values are striped.
    """
    painted = [_painted(np.asarray(label), palette) for label in labels]
    return SampleRow(caption, [_fitted(np.asarray(image), Image.Resampling.BOX), *painted])


def _painted(label: NDArray[np.integer], palette: ArrayLike) -> NDArray[np.uint8]:
    picture = _fitted(colorize(label, palette), Image.Resampling.NEAREST)
    labeled = (label >= 0) & (label < len(np.asarray(palette)))
    empty_HW = _fitted(np.repeat(~labeled[..., None], 3, axis=2).astype(np.uint8), Image.Resampling.NEAREST)[..., 0] > 0
    rows, columns = np.nonzero(empty_HW)
    picture[rows, columns] = np.asarray(UNLABELED, dtype=np.uint8)[(rows + columns) // _STRIPE % 2]
    return picture


def _fitted(picture: NDArray[np.uint8], method: Image.Resampling) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = min(_BOX[0] / width, _BOX[1] / height)
    if scale >= 1:
        return np.ascontiguousarray(picture)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(np.ascontiguousarray(picture)).resize(size, method))
