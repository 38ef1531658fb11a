"""Checks of arguments that losses on features and labels have in common."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def check_integers(at_least: int | None, values: Mapping[str, int]) -> None:
    """Raise ``ValueError`` for an argument that is no integer or is below ``at_least`` (None: no bound)."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name}={value!r}: must be an integer.")
        if at_least is not None and value < at_least:
            raise ValueError(f"{name}={value}: must be at least {at_least}.")


def check_weights(values: Mapping[str, float]) -> None:
    """Raise ``ValueError`` for a number that is negative, infinite or NaN."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name}={value}: must be a finite number, 0 or more.")


def check_label_maps(labels: Tensor) -> None:
    """Raise ``ValueError`` unless labels are integers (B, H, W)."""
    if labels.ndim != 3 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels must be integers and (B, H, W), got {labels.dtype} of shape {tuple(labels.shape)}. "
            "A one-hot or (B, 1, H, W) map has to be turned into class indices first."
        )


def check_shapes(features: Tensor, labels: Tensor) -> None:
    """Raise ``ValueError`` unless features are (B, C, H, W) and labels (B, Hl, Wl) of one batch on one device."""
    if not isinstance(features, Tensor) or not isinstance(labels, Tensor):
        raise ValueError(f"features and labels must be tensors, got {type(features)} and {type(labels)}.")
    if features.ndim != 4 or not features.is_floating_point():
        raise ValueError(
            f"features must be floating and (B, C, H, W), got {features.dtype} of shape {tuple(features.shape)}."
        )
    check_label_maps(labels)
    if features.shape[0] != labels.shape[0]:
        raise ValueError(f"features hold {features.shape[0]} images, labels {labels.shape[0]}: pass the same batch.")
    if features.device != labels.device:
        raise ValueError(f"features are on {features.device}, labels on {labels.device}: move them to one device.")
    if features.numel() == 0 or labels.numel() == 0:
        raise ValueError(f"empty input: features {tuple(features.shape)}, labels {tuple(labels.shape)}.")
