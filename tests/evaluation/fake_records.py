"""Evaluations of networks that never were: consistent records from random confusion matrices of images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classaware.evaluation.record import EvaluationRecord, class_counts

NAMES = ("sky", "road", "car", "person", "pole")


def fake_confusions(
    seed: int, images: int = 12, classes: int = 4, quality: float = 0.7, absent: Sequence[int] = ()
) -> NDArray[np.int64]:
    """(n, K, K): the truth is the same for all seeds, and every image lacks some classes."""
    truth_of, guess_of = np.random.default_rng(99), np.random.default_rng(seed)
    shares = truth_of.dirichlet(np.ones(classes), images) * (truth_of.random((images, classes)) < 0.7)
    shares[:, list(absent)] = 0
    truth = np.round(5000 * shares).astype(np.int64)
    result = np.zeros((images, classes, classes), dtype=np.int64)
    for image in range(images):
        for index in range(classes):
            weights = guess_of.dirichlet(np.ones(classes)) * (1 - quality)
            weights[index] += quality
            weights[list(absent)] = 0
            if weights.sum() > 0:
                result[image, index] = guess_of.multinomial(truth[image, index], weights / weights.sum())
    return result


def fake_record(
    seed: int = 0, confusions: NDArray[np.int64] | None = None, boundary: bool = True, **parts: Any
) -> EvaluationRecord:
    """A record with every field; ``parts`` replaces some (``training={"seed": 3}``)."""
    each = fake_confusions(seed) if confusions is None else confusions
    classes = each.shape[1]
    counts = np.stack([class_counts(torch.from_numpy(matrix)) for matrix in each])
    near = np.column_stack((counts.sum(0)[:, 0] // 3, counts.sum(0)[:, 0] // 2, counts.sum(0)[:, 0] // 2))
    fields: dict[str, Any] = {
        "class_names": tuple(NAMES[i] if i < len(NAMES) else f"class {i}" for i in range(classes)),
        "confusion": each.sum(axis=0),
        "names": tuple(f"image{i}" for i in range(len(each))),
        "counts": counts,
        "boundary": near if boundary else None,
        "data": {"name": "Fake", "split": "test", "images": len(each), "num_classes": classes, "manifest": None},
        "inference": {"window": None, "scales": [1.0], "flip": False, "scale": "single"},
        "checkpoint": {"path": f"run{seed}/last.ckpt", "sha256": "0" * 64, "step": 700},
        "training": {"seed": seed, "crop_size": [240, 320], "steps": 700, "batch_size": 8, "weights": "offline"},
        "versions": {"classaware": "0.1.0", "torch": "2.15.0"},
        "commit": "a" * 40,
        "device": "cpu",
        "date": "2026-11-22T12:00:00+00:00",
    }
    return EvaluationRecord(**(fields | parts))
