"""The regularizer as a module: features and labels in, named loss terms out."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from classaware.regularization.arguments import check_integers, check_shapes, check_weights
from classaware.regularization.centers import RunningCenters
from classaware.regularization.fused import fused_terms, fusible
from classaware.regularization.labels import checked_labels, resize_labels, without_classes
from classaware.regularization.pooling import average_pool
from classaware.regularization.precision import at_least_float32
from classaware.regularization.presets import (
    Absent,
    C2PScale,
    Centers,
    Ignored,
    Preset,
    Reduce,
    Reduction,
    check_choice,
    check_exclude,
    resolve_knobs,
)
from classaware.regularization.reference import Settings, reference_terms


class ClassAwareTerms(NamedTuple):
    """What the regularizer returns: scalars in float32 (float64 for float64 features).

    Attributes:
        intra_c2p: pixels to their own class center (Eqs. 2, 3), unweighted.
        inter_c2c: class centers against each other (Eqs. 4 to 7), unweighted.
        inter_c2p: pixels against the other classes' centers (Eqs. 8 to 14), unweighted.
        total: the weighted sum, to be added to the task's loss.
    """

    intra_c2p: Tensor
    inter_c2c: Tensor
    inter_c2p: Tensor
    total: Tensor


class ClassAwareRegularization(nn.Module):
    """Class-aware regularization (CAR) of a segmentation network's features.

    Huang et al., "CAR: Class-Aware Regularizations for Semantic Segmentation", ECCV 2022. Call it in training with
    the features in front of the last convolutions (best: the output of a 1x1 convolution without norm or activation)
    and the labels, and add ``total`` to the loss. Nothing remains at inference.

    Class centers are means over the ground truth of the batch; they carry no gradient in intra_c2p and inter_c2p, and
    only the query side does in inter_c2c. Everything is computed in float32 (float64 for float64 features) whatever
    the features' dtype and whether autocast is on. Nothing waits for a device.

    In a distributed run (torch.distributed initialized, by whomever) the batch is that of all processes: values, and
    gradients after the averaging that DDP and FSDP do, are those of one process with the joint batch, also where
    processes hold different numbers of images or of labeled pixels. Every process has to call the regularizer equally
    often and to weight its terms alike. A step takes two collectives: one of the class sums and counts, K x (C + 1)
    numbers, and one of four numbers (with ``reduce="replica"`` or ``centers="image"`` one of them). Where only some of
    the processes share a batch, set the attribute ``process_group`` to their group.

    With ``centers="ema"`` all terms see the running centers r' = r + (1 - decay)(mu - r), which are saved with the
    model and updated in training mode alone. A class is absent until it was seen once. In the authors' code inter_c2c
    has no gradient at all in this mode; here its query side is r' as a function of this batch's centers mu, so that
    the gradient is the exact derivative: (1 - decay) times that of the batch mode in a class seen before, and all
    of it at first sight. (Not to be called inside activation checkpointing in this mode: the second run of the
    forward would meet centers already updated.)

    Args:
        num_classes: K, at least 1.
        ignore_index: label of pixels that have no class; may be any integer, also a class.
        preset: ``released`` (the authors' code, from which the published tables most likely come), ``paper`` (the
            equations as printed) or ``masked`` (ignored pixels and absent classes take no part anywhere).
        c2c_margin: epsilon_0 of Eq. 6, what a center may depend on all others together.
        c2p_margin: epsilon_1 of Eq. 13, the same for a pixel.
        intra_c2p_weight: weight of intra_c2p in ``total``.
        inter_c2c_weight: weight of inter_c2c in ``total``.
        inter_c2p_weight: weight of inter_c2p in ``total``.
        centers: over the whole ``batch``, for each ``image``, or running (``ema``).
        ema_decay: share of the old center kept in an update of ``ema``, in [0, 1).
        pool: the features are average-pooled by this rate first (2 for OCR and UperNet in the authors' code).
        drop_max: leave the largest distance of each image and channel out of intra_c2p.
        reduction: ``square_of_mean`` or ``mean_of_squares``; None: the preset's. See :class:`Knobs` for all four.
        c2p_scale: ``sqrt_channels`` or ``none``; None: the preset's.
        ignored: ``count`` or ``exclude``; None: the preset's.
        absent: ``zero_center`` or ``exclude``; None: the preset's.
        reduce: over several processes: ``global``, the losses of the joint batch; or ``replica``, as in the authors'
            code: joint centers, but each process's own means (and squares of means), of which the processes' average
            is minimized.
        fused: compute values and gradient in three passes over the features (Triton kernels on CUDA, chunks of torch
            operations elsewhere) and keep P x K numbers for backward; False: the readable reference in autograd, for
            which many times the features' memory is kept. Both give the same to rounding (that of bfloat16 in the
            gradient of bfloat16 features). Second derivatives (outside of compiled code) and function transforms
            (vmap, jvp) are always the reference's.
        exclude: classes that take no part in any term, such as a background that has no look of its own: their pixels
            count as unlabeled, and they have no center. Needs ``ignored`` and ``absent`` to be ``exclude``, as in
            ``masked``.
        check_labels: look for labels that are neither a class nor ``ignore_index``. None: on the CPU only, for on
            another device the look waits for it. Where not looked for, such pixels count as ignored.
        check_finite: look for NaN and infinity in the features (waits for the device).
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        preset: Preset = "released",
        c2c_margin: float = 0.5,
        c2p_margin: float = 0.25,
        intra_c2p_weight: float = 1.0,
        inter_c2c_weight: float = 1.0,
        inter_c2p_weight: float = 1.0,
        centers: Centers = "batch",
        ema_decay: float = 0.9,
        pool: int = 1,
        drop_max: bool = False,
        reduction: Reduction | None = None,
        c2p_scale: C2PScale | None = None,
        ignored: Ignored | None = None,
        absent: Absent | None = None,
        reduce: Reduce = "global",
        fused: bool = True,
        exclude: tuple[int, ...] = (),
        *,
        check_labels: bool | None = None,
        check_finite: bool = False,
    ) -> None:
        super().__init__()
        check_integers(None, {"num_classes": num_classes, "ignore_index": ignore_index, "pool": pool})
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes}: there must be at least one class.")
        if pool < 1:
            raise ValueError(f"pool={pool}: the pooling rate must be at least 1.")
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay={ema_decay}: must be in [0, 1).")
        check_weights(
            {
                "c2c_margin": c2c_margin,
                "c2p_margin": c2p_margin,
                "intra_c2p_weight": intra_c2p_weight,
                "inter_c2c_weight": inter_c2c_weight,
                "inter_c2p_weight": inter_c2p_weight,
            }
        )
        check_choice("centers", centers)
        check_choice("reduce", reduce)
        self.knobs = resolve_knobs(preset, reduction=reduction, c2p_scale=c2p_scale, ignored=ignored, absent=absent)
        self.exclude = check_exclude(exclude, num_classes, ignore_index, self.knobs)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.c2c_margin = c2c_margin
        self.c2p_margin = c2p_margin
        self.intra_c2p_weight = intra_c2p_weight
        self.inter_c2c_weight = inter_c2c_weight
        self.inter_c2p_weight = inter_c2p_weight
        self.centers = centers
        self.pool = pool
        self.drop_max = drop_max
        self.reduce = reduce
        self.fused = fused
        self.process_group: ProcessGroup | None = None
        self.check_labels = check_labels
        self.check_finite = check_finite
        self.running = RunningCenters(num_classes, ema_decay) if centers == "ema" else None

    def forward(self, features: Tensor, labels: Tensor) -> ClassAwareTerms:
        """Compute the three terms.

        Args:
            features: (B, C, H, W), any floating dtype and memory layout.
            labels: (B, Hl, Wl), any integer dtype, at any resolution; brought to (H, W) by nearest resizing with
                aligned corners.

        Raises:
            ValueError: wrong rank, dtype or batch size, or (see ``check_labels``, ``check_finite``) a bad value.
        """
        check_shapes(features, labels)
        look_at_labels = features.device.type == "cpu" if self.check_labels is None else self.check_labels
        if look_at_labels or self.check_finite:
            labels = checked_labels(
                labels, features.detach(), self.num_classes, self.ignore_index, look_at_labels, self.check_finite
            )
        with torch.autocast(features.device.type, enabled=False):
            # Where nothing is pooled, half precision is widened tile by tile later on.
            x_BCHW = features if self.pool == 1 else average_pool(at_least_float32(features), self.pool)
            y_BHW = resize_labels(resize_labels(labels, _size(features)), _size(x_BCHW))
            y_BHW = without_classes(y_BHW, self.exclude, self.ignore_index)
            terms = fused_terms if self.fused and fusible(x_BCHW, y_BHW) else reference_terms
            intra_c2p, inter_c2c, inter_c2p = terms(x_BCHW, y_BHW, self._settings(), self.running)
            total = (
                self.intra_c2p_weight * intra_c2p
                + self.inter_c2c_weight * inter_c2c
                + self.inter_c2p_weight * inter_c2p
            )
        return ClassAwareTerms(intra_c2p, inter_c2c, inter_c2p, total)

    def _settings(self) -> Settings:
        return Settings(
            num_classes=self.num_classes,
            ignore_index=self.ignore_index,
            knobs=self.knobs,
            c2c_margin=self.c2c_margin,
            c2p_margin=self.c2p_margin,
            centers=self.centers,
            drop_max=self.drop_max,
            reduce=self.reduce,
            group=self.process_group,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClassAwareRegularization":
        """A copy in the same group of processes, which itself cannot be copied."""
        memo[id(self.process_group)] = self.process_group
        copied = memo[id(self)] = self.__class__.__new__(self.__class__)
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """Without the group of processes, which does not outlive them."""
        return self.__dict__ | {"process_group": None}

    def extra_repr(self) -> str:
        """What the printed module shows."""
        knobs = ", ".join(f"{name}={value}" for name, value in self.knobs._asdict().items())
        exclude = f", exclude={self.exclude}" if self.exclude else ""
        return f"num_classes={self.num_classes}, centers={self.centers}, {knobs}, pool={self.pool}{exclude}"


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
