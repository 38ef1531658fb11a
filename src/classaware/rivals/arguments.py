"""What the rivals check in the same way."""

import math
from collections.abc import Mapping

from torch import Tensor

from classaware.regularization.labels import checked_labels, resize_labels, split_valid
from classaware.regularization.module import check_shapes


def check_integers(at_least: int | None, values: Mapping[str, int]) -> None:
    """Raise ValueError for a constructor argument that is no integer or is below ``at_least`` (None: no bound)."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name}={value!r}: must be an integer.")
        if at_least is not None and value < at_least:
            raise ValueError(f"{name}={value}: must be at least {at_least}.")


def check_weight(weight: float) -> None:
    """Raise ValueError for a weight that is negative, infinite or NaN."""
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"weight={weight}: must be a finite number, 0 or more.")


def labels_at_features(
    features: Tensor, labels: Tensor, channels: int, num_classes: int, ignore_index: int, check_labels: bool | None
) -> tuple[Tensor, Tensor]:
    """The labels of the features' pixels, after the checks that ClassAwareRegularization makes too.

    Args:
        features: floating (B, C, H, W).
        labels: integer (B, Hl, Wl) at any resolution.
        channels: C.
        num_classes: K.
        ignore_index: label of pixels that have no class.
        check_labels: look at the labels' values; None: on the CPU only.

    Returns:
        y_BP int64 with 0 where there is no class, and valid_BP bool.

    Raises:
        ValueError: wrong rank, dtype, batch size, device or number of channels, or a bad label.
    """
    check_shapes(features, labels)
    if features.shape[1] != channels:
        raise ValueError(
            f"features have {features.shape[1]} channels, but the loss was made for {channels}. "
            "Set channels to those of the layer that it watches."
        )
    if features.device.type == "cpu" if check_labels is None else check_labels:
        labels = checked_labels(labels, features.detach(), num_classes, ignore_index, True, False)
    return split_valid(
        resize_labels(labels, (features.shape[2], features.shape[3])).flatten(1), num_classes, ignore_index
    )
