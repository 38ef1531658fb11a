"""One line that says what kind of number a mean IoU is."""

from collections.abc import Sequence
from typing import Any

from classaware.evaluation.record import EvaluationRecord


def describe(record: EvaluationRecord) -> str:
    """Classes, images, scales, flip, window: what two numbers must have in common to be compared."""
    data, way = record.data, record.inference
    images = f"{data['images']:,} images"
    if data["published_images"] is not None:
        images = f"{data['images']:,} of the {data['published_images']:,} published images"
    parts = [
        f"{data['num_classes']} classes",
        f"{images} of {data['split']!r}",
        _scales(way["scales"]),
        "flip" if way["flip"] else "no flip",
        _extent(way),
    ]
    if way["average"] != "logits" and (way["window"] or way["flip"] or len(way["scales"]) > 1):
        parts.append("probabilities averaged")
    return f"{data['name']}: {', '.join(parts)}"


def _scales(scales: Sequence[float]) -> str:
    if list(scales) == [1]:
        return "single scale"
    return f"{'multi-scale' if len(scales) > 1 else 'single scale'} ({', '.join(f'{scale:g}' for scale in scales)})"


def _extent(way: dict[str, Any]) -> str:
    """Whole images or windows, and at which size."""
    sizes = [f"resized to {_size(way['image_size'])}"] if way["image_size"] else []
    sizes += [f"padded to {_size(way['pad_size'])}"] if way["pad_size"] else []
    window = "whole images"
    if way["window"]:
        window = f"sliding window {_size(way['window'])}, stride {_size(way['stride'])}"
    return " ".join([window, *sizes])


def _size(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
