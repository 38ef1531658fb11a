"""What kind of number a mean IoU is, in one line, and when it was taken."""

from collections.abc import Sequence
from typing import Any

from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord


def describe(record: EvaluationRecord) -> str:
    """Classes, images, scales, flip, window: what two numbers must have in common to be compared.

    What a record does not say is left out.

    Raises:
        InputError: a setting of another type than `classaware evaluate` writes.
    """
    try:
        return _line(record)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise InputError(
            f"{record.path or 'The evaluation'} is damaged: its data or inference settings cannot be read ({error}). "
            "Evaluate again."
        ) from error


def evaluation_days(runs: Sequence[EvaluationRecord]) -> tuple[str, str] | None:
    """First and last day of evaluations, None where no run has one; ISO dates sort as text."""
    days = sorted(run.date[:10] for run in runs if run.date)
    return (days[0], days[-1]) if days else None


def _line(record: EvaluationRecord) -> str:
    data, way = record.data, record.inference
    images, published = f"{len(record.names):,} images", data.get("published_images")
    if published is not None:
        images = f"{len(record.names):,} of the {published:,} published images"
    scales = way.get("scales") or [1.0]
    parts = [
        f"{len(record.class_names)} classes",
        f"{images} of {data.get('split')!r}",
        _scales(scales),
        "flip" if way.get("flip") else "no flip",
        _extent(way),
    ]
    average = way.get("average", "logits")
    if average != "logits" and (way.get("window") or way.get("flip") or len(scales) > 1):
        parts.append("probabilities averaged")
    return f"{data.get('name')}: {', '.join(parts)}"


def _scales(scales: Sequence[float]) -> str:
    if list(scales) == [1]:
        return "single scale"
    return f"{'multi-scale' if len(scales) > 1 else 'single scale'} ({', '.join(f'{scale:g}' for scale in scales)})"


def _extent(way: dict[str, Any]) -> str:
    """Whole images or windows, and at which size."""
    sizes = [f"{verb} to {_size(way[key])}" for key, verb in _SIZES.items() if way.get(key)]
    window = "whole images"
    if way.get("window"):
        window = f"sliding window {_size(way['window'])}"
        window += f", stride {_size(way['stride'])}" if way.get("stride") else ""
    return " ".join([window, *sizes])


_SIZES = {"image_size": "resized", "pad_size": "padded"}


def _size(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
