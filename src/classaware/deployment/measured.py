"""What an evaluation says of a network, short enough to travel with it."""

from pathlib import Path
from typing import Any

from classaware.errors import InputError
from classaware.evaluation.description import describe
from classaware.evaluation.record import EvaluationRecord, read_record
from classaware.training.card import network_sha256
from classaware.training.folder import is_network_folder, read_config, without_places

_SCORES = ("mean_iou", "mean_accuracy", "pixel_accuracy", "mean_boundary_iou")


def summarize_record(record: EvaluationRecord) -> dict[str, Any]:
    """Scores as fractions, and what they are scores of; plain values, without paths.

    "data", "split", "images", "how" (one line, see `describe`), "inference", the mean scores, "iou" by class name
    (None where a class neither occurs nor is predicted), "date".
    """
    scores = record.scores.to_dict()
    return {
        "data": _data(record.data),
        "split": record.data.get("split"),
        "images": len(record.names),
        "how": describe(record),
        "inference": record.inference,
        **{name: scores[name] for name in _SCORES if scores.get(name) is not None},
        "iou": {row["name"]: row["iou"] for row in scores["classes"]},
        "date": record.date,
    }


def _data(data: dict[str, Any]) -> str:
    """Its title; of a folder without one the folder's name, for the class that reads folders says nothing."""
    arguments = data.get("dataset", {})
    kind = str(arguments.get("class_path", "")).rpartition(".")[2]
    root = arguments.get("init_args", {}).get("root")
    return str(without_places(root) if root and data.get("name") == kind else data.get("name"))


def find_metrics(checkpoint: Path, metrics: Path | None) -> dict[str, Any] | None:
    """What a checkpoint was measured to reach, if it is known.

    Args:
        checkpoint: the file or folder; a folder may say it itself.
        metrics: record of its evaluation, or None.

    Raises:
        InputError: the record cannot be read, or is of another network.
    """
    if metrics is None:
        return read_config(checkpoint).get("metrics") if is_network_folder(checkpoint) else None
    record = read_record(metrics)
    if record.checkpoint.get("sha256") != network_sha256(checkpoint):
        raise InputError(f"{metrics} is the evaluation of another network than {checkpoint}: evaluate that one.")
    return summarize_record(record)
