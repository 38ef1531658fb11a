"""Class centers over a whole data set, of several networks in one pass."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from classaware.errors import InputError
from classaware.regularization import resize_labels

if TYPE_CHECKING:  # the figures do without networks and data sets, which are slow to import
    from classaware.data.parallel import Progress
    from classaware.insight.subject import Subject

GROUPS = 20  # of images, whose sums are kept apart for intervals


class CenterAccumulator:
    """Class centers over a data set, exact and one batch at a time.

    Sums are float64, counts int64, both on the CPU. Every image is added on its own, so how the images are split into
    batches does not change a bit of the result. Image i adds to group i mod 20: memory does not grow with the images,
    and the centers without one group are there too.

    Args:
        num_classes: K.
        ignore_index: label of the pixels that take no part.

    Attributes:
        images: how many were added.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        if num_classes < 1:
            raise InputError(f"num_classes is {num_classes}. Class centers need at least 1 class.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.images = 0
        self._sums_GKC: Tensor | None = None
        self._counts_GK = torch.zeros(GROUPS, num_classes, dtype=torch.int64)
        self._squares_G = torch.zeros(GROUPS, dtype=torch.float64)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            features: (B, C, h, w), any float type.
            labels: (B, H, W) of an integer type, classes 0..K-1 or ``ignore_index``; brought to (h, w) by the nearest
                neighbor with aligned corners.

        Raises:
            InputError: shapes that do not fit, a label that is no class, or features that are not finite.
        """
        self._check(features, labels)
        small_BHW = resize_labels(labels, (features.shape[2], features.shape[3])).to(features.device).long()
        for x_CHW, y_HW in zip(features, small_BHW, strict=True):
            self._add(x_CHW.flatten(1).T, y_HW.flatten())

    def _add(self, x_PC: Tensor, y_P: Tensor) -> None:
        kept_P = y_P != self.ignore_index
        y_P, x_PC = y_P[kept_P], x_PC[kept_P].double()
        if bool(((y_P < 0) | (y_P >= self.num_classes)).any()):
            wrong = int(y_P[(y_P < 0) | (y_P >= self.num_classes)][0])
            raise InputError(
                f"The labels hold the value {wrong}. Only the classes 0..{self.num_classes - 1} and the ignore value "
                f"{self.ignore_index} are allowed: check num_classes and the label map."
            )
        if self._sums_GKC is None:
            self._sums_GKC = torch.zeros(GROUPS, self.num_classes, x_PC.shape[1], dtype=torch.float64)
        group = self.images % GROUPS
        # A matrix product, not index_add_, whose order of additions on CUDA is not fixed.
        shown = y_P.unique()
        self._sums_GKC[group, shown.cpu()] += ((y_P == shown[:, None]).double() @ x_PC).cpu()
        self._counts_GK[group] += torch.bincount(y_P, minlength=self.num_classes).cpu()
        self._squares_G[group] += x_PC.square_().sum().cpu()
        self.images += 1

    def _check(self, features: Tensor, labels: Tensor) -> None:
        if features.ndim != 4 or labels.ndim != 3 or features.shape[0] != labels.shape[0]:
            raise InputError(
                f"The features have shape {tuple(features.shape)}, the labels {tuple(labels.shape)}. "
                "Give (B, C, h, w) and (B, H, W) of the same images."
            )
        if self._sums_GKC is not None and features.shape[1] != self.channels:
            raise InputError(
                f"The features have {features.shape[1]} channels, earlier ones had {self.channels}. "
                "Use one accumulator a network."
            )
        if not bool(torch.isfinite(features).all()):
            raise InputError("The features hold nan or infinity. The training has diverged: use an earlier checkpoint.")

    @property
    def channels(self) -> int:
        """C."""
        return self._sums().shape[2]

    @property
    def groups(self) -> int:
        """How many groups hold an image; the groups are 0 to this number minus 1."""
        return min(self.images, GROUPS)

    @property
    def present(self) -> Tensor:
        """(K,) bool: the classes that have at least one pixel at the features' size."""
        return self._counts_GK.sum(0) > 0

    def centers(self, without: int | None = None) -> Tensor:
        """Return the (K, C) float64 means of the features; zero for a class that is absent.

        Args:
            without: leave the images of this group out. A class that only they show keeps its center.

        Raises:
            InputError: nothing was added yet.
        """
        sums_KC, counts_K = self._sums().sum(0), self._counts_GK.sum(0)
        if without is not None:
            kept = torch.arange(GROUPS) != without
            fewer_K = self._counts_GK[kept].sum(0)
            sums_KC = torch.where(fewer_K[:, None] > 0, self._sums()[kept].sum(0), sums_KC)
            counts_K = torch.where(fewer_K > 0, fewer_K, counts_K)
        return sums_KC / counts_K.clamp(min=1)[:, None]

    def scale(self, without: int | None = None) -> float:
        """Root mean square of the features over labeled pixels and channels; nan without any labeled pixel.

        Args:
            without: leave the images of this group out, unless only they have labeled pixels.

        Raises:
            InputError: nothing was added yet.
        """
        kept = torch.arange(GROUPS) != (GROUPS if without is None else without)
        if not bool(self._counts_GK[kept].any()):
            kept = torch.ones(GROUPS, dtype=torch.bool)
        values = int(self._counts_GK[kept].sum()) * self.channels
        return math.sqrt(float(self._squares_G[kept].sum()) / values) if values else math.nan

    def _sums(self) -> Tensor:
        if self._sums_GKC is None:
            raise InputError("There are no class centers yet. Call update() with at least one image first.")
        return self._sums_GKC


def measure_dependency(
    subjects: "Sequence[Subject]",
    images_and_labels: Iterable[tuple[Tensor, Tensor]],
    ignore_index: int,
    num_classes: int,
    progress: "Progress | None" = None,
    total: int = 0,
) -> dict[str, CenterAccumulator]:
    """Class centers of several networks in one pass: every image is read once.

    Args:
        subjects: the networks, each with a name of its own.
        images_and_labels: (uint8 (3, H, W), integers (H, W)), in a fixed order.
        ignore_index: label of the pixels that take no part.
        num_classes: K.
        progress: is told (done, ``total``) after every image.
        total: number of images.

    Returns:
        Name of the network -> its centers.

    Raises:
        InputError: as in `Subject.look` and `CenterAccumulator.update`.
    """
    found = {subject.name: CenterAccumulator(num_classes, ignore_index) for subject in subjects}
    for done, (image_3HW, label_HW) in enumerate(images_and_labels, start=1):
        label_BHW = label_HW.as_subclass(Tensor)[None]
        for subject in subjects:
            found[subject.name].update(subject.look(image_3HW).features_CHW[None], label_BHW)
        if progress is not None:
            progress(done, total)
    return found
