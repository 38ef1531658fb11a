"""Scores and counts as the text of a file."""

import csv
import io
import json
from typing import Any

from classaware.evaluation.iou import SegmentationScores

_COLUMNS = ("class", "iou", "accuracy", "boundary_iou", "pixels")


def as_json(content: dict[str, Any]) -> str:
    """JSON with one line an element for long lists, so that it stays small and can be looked at and diffed.

    Raises:
        ValueError: a value that is nan or infinite, which JSON does not have.
    """
    parts = [f"  {json.dumps(key)}: {_value(value)}" for key, value in content.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _value(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {json.dumps(row, allow_nan=False)}" for row in value) + "\n  ]"
    return json.dumps(value, indent=2, allow_nan=False).replace("\n", "\n  ")


def as_csv(result: SegmentationScores) -> str:
    """One row a class, a row "mean", then rows that have a value for the whole set alone, under "accuracy" or "iou"."""
    content = result.to_dict()
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in content["classes"]:
        writer.writerow({"class": row["name"]} | {name: row[name] for name in _COLUMNS[1:]})
    means = {name: content[f"mean_{name}"] for name in ("iou", "accuracy", "boundary_iou")}
    writer.writerow({"class": "mean", "pixels": sum(result.pixels)} | means)
    writer.writerow({"class": "all pixels", "accuracy": content["pixel_accuracy"]})
    writer.writerow({"class": "frequency-weighted", "iou": content["frequency_weighted_iou"]})
    return text.getvalue()
