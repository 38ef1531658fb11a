"""A network over a data loader."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classaware.errors import InputError
from classaware.evaluation.boundary import boundary_counts
from classaware.evaluation.confusion import confusion_matrix
from classaware.evaluation.distributed import gather, together
from classaware.evaluation.inference import Inference, predict_labels
from classaware.evaluation.record import class_counts
from classaware.models import Network, SegmenterOutput

_PIXELS_AT_ONCE = 2**22  # counted; every pixel takes some 50 bytes meanwhile


class Counts(NamedTuple):
    """What all scores follow from; sums of integers.

    Attributes:
        confusion: (K, K) int64, rows = truth.
        boundary: (K, 3) int64, see `classaware.evaluation.boundary.boundary_counts`; None if not asked for.
        ignored: pixels that took no part.
        per_image: by the images' names, sorted: (K, 3) int64, true positives, false positives, false negatives.
    """

    confusion: Tensor
    boundary: Tensor | None
    ignored: int
    per_image: dict[str, NDArray[np.int64]]


def predictions(
    network: Network, batches: Iterable[dict[str, Any]], device: torch.device | str = "cpu"
) -> Iterator[tuple[dict[str, Any], SegmenterOutput, Tensor]]:
    """Each batch with the network's output for the whole images and its prediction at the labels' size.

    Without gradients, in eval mode; the network is left in the mode and on the device where it was taken to.

    Args:
        network: the network.
        batches: ``{"image": (B, 3, H, W) uint8, or float in [0, 1]; "label": (B, H', W')}``.
        device: where to run it.

    Yields:
        The batch, the output, and int64 (B, H', W').
    """
    with _evaluating(network, device):
        for batch in batches:
            images = batch["image"].to(device)
            with torch.inference_mode():
                output = network(images if images.is_floating_point() else images.float() / 255)
                height, width = batch["label"].shape[-2:]
                prediction = predict_labels(output.logits, (height, width))
            yield batch, output, prediction


def evaluate(
    network: Network,
    batches: Iterable[dict[str, Any]],
    ignore_index: int,
    inference: Inference | None = None,
    device: torch.device | str = "cpu",
    boundary: bool = True,
) -> Counts:
    """Compare predictions with labels, pixel by pixel.

    With ``torch.distributed`` initialized every process gives its own share of the images, of any number, and has the
    counts of all of them.

    Args:
        network: the network; left in the mode and on the device where it was taken to.
        batches: ``{"image": (B, 3, H, W) uint8, or float in [0, 1]; "label": (B, H', W'); "name": B names}``.
        ignore_index: label of the pixels that take no part.
        inference: how images become label maps; None: the whole image at its own size.
        device: where to run it.
        boundary: count what boundary IoU needs.

    Raises:
        InputError: of any process; an image that comes twice; labels that are no classes.
    """
    way = inference or Inference()
    own = together(lambda: _count(network, batches, ignore_index, way, device, boundary))
    return _sum(gather(own))


def _count(
    network: Network,
    batches: Iterable[dict[str, Any]],
    ignore_index: int,
    inference: Inference,
    device: torch.device | str,
    boundary: bool,
) -> Counts:
    """The counts of this process's images."""
    classes = network.num_classes
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    edges = torch.zeros(classes, 3, dtype=torch.int64) if boundary else None
    pixels, per_image = 0, dict[str, NDArray[np.int64]]()
    with _evaluating(network, device):
        for batch in batches:
            labels = batch["label"]
            size = (labels.shape[-2], labels.shape[-1])
            predicted = inference.predict(network, batch["image"].to(device), size).cpu()
            for name, prediction, label in zip(batch["name"], predicted, labels, strict=True):
                counts = _confusion(prediction, label, classes, ignore_index)
                confusion += counts
                if edges is not None:
                    edges += boundary_counts(prediction, label, classes, ignore_index)
                _add(per_image, name, class_counts(counts))
                pixels += label.numel()
    return Counts(confusion, edges, pixels - int(confusion.sum()), per_image)


def _confusion(prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Of one image, a band of rows after the other: large ones have labels of hundreds of megabytes."""
    rows = max(_PIXELS_AT_ONCE // max(label.shape[-1], 1), 1)
    bands = zip(prediction.split(rows), label.split(rows), strict=True)
    return torch.stack([confusion_matrix(p[None], y[None], num_classes, ignore_index) for p, y in bands]).sum(0)


def _sum(shares: list[Counts]) -> Counts:
    """Shares of several processes; the sum does not depend on who had which image."""
    per_image: dict[str, NDArray[np.int64]] = {}
    for share in shares:
        for name, counts in share.per_image.items():
            _add(per_image, name, counts)
    edges = [share.boundary for share in shares if share.boundary is not None]
    return Counts(
        torch.stack([share.confusion for share in shares]).sum(0),
        torch.stack(edges).sum(0) if edges else None,
        sum(share.ignored for share in shares),
        dict(sorted(per_image.items())),
    )


def _add(per_image: dict[str, NDArray[np.int64]], name: str, counts: NDArray[np.int64]) -> None:
    if name in per_image:
        raise InputError(f"image {name!r} comes twice: every image of a split must have a name of its own.")
    per_image[name] = counts


@contextmanager
def _evaluating(network: Network, device: torch.device | str) -> Iterator[None]:
    network.to(device)
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
