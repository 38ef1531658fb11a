"""Small label maps, training labels and predictions, as files and as records, for tests of combinations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fake_records import NAMES, fake_record
from numpy.typing import NDArray
from PIL import Image

from classaware.data import FolderDataset
from classaware.evaluation.record import EvaluationRecord

Maps = NDArray[np.int64]  # (n, H, W), 255 ignored
IGNORED = 255


def striped_maps(seed: int, images: int, classes: int, height: int = 4, width: int = 24) -> Maps:
    """Upright stripes, each of a random class or ignored, so that few classes touch; some images are of one class."""
    rng = np.random.default_rng(seed)
    kinds = np.append(np.arange(classes), IGNORED)
    weights = np.append(np.arange(classes, 0, -1.0) ** 2, 2.0)
    stripes = rng.choice(kinds, (images, 6), p=weights / weights.sum())
    stripes[: images // 6] = stripes[: images // 6, :1]
    return np.repeat(np.repeat(stripes[:, None], height, axis=1), width // 6, axis=2).astype(np.int64)


def guesses(labels: Maps, seed: int, classes: int, quality: float = 0.7) -> Maps:
    """The truth, replaced at random."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(labels.shape) > quality * rng.uniform(0.5, 1.2, (len(labels), 1, 1))
    return np.where(wrong | (labels == IGNORED), rng.integers(0, classes, labels.shape), labels)


def record_of(labels: Maps, predictions: Maps, classes: int, **parts: Any) -> EvaluationRecord:
    """The evaluation of these predictions; images are named image0, image1, ..."""
    confusions = np.zeros((len(labels), classes, classes), dtype=np.int64)
    for image in range(len(labels)):
        kept = labels[image] != IGNORED
        np.add.at(confusions[image], (labels[image][kept], predictions[image][kept]), 1)
    return fake_record(0, confusions, boundary=False, **parts)


def write_dataset(root: Path, splits: dict[str, Maps], classes: Sequence[str] | int) -> FolderDataset:
    """A folder data set of these label maps; its images are empty files, which nobody may read."""
    names = NAMES[:classes] if isinstance(classes, int) else classes
    for split, labels in splits.items():
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for index, label in enumerate(labels):
            (root / "images" / split / f"image{index}.png").touch()
            Image.fromarray(label.astype(np.uint8)).save(root / "masks" / split / f"image{index}.png")
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    return FolderDataset(root)


def pairs_by_loops(label: NDArray[np.int64], touching: bool, reach: int = 2) -> tuple[set[int], set[tuple[int, int]]]:
    """Classes of a label map, and pairs (a, b) and (b, a), pixel by pixel."""
    height, width = label.shape
    pixels = [(y, x, int(label[y, x])) for y in range(height) for x in range(width) if label[y, x] != IGNORED]
    present = {k for _, _, k in pixels}
    if not touching:
        return present, {(a, b) for a in present for b in present if a != b}
    near = set()
    for y, x, a in pixels:
        for v in range(max(0, y - reach), min(height, y + reach + 1)):
            for u in range(max(0, x - reach), min(width, x + reach + 1)):
                b = int(label[v, u])
                if b not in (IGNORED, a):
                    near.add((a, b))
    return present, near


def chance_contacts(counts_KK: np.ndarray) -> np.ndarray:
    """Contacts by chance, float64 (K, K), by scaling rows and columns in turn until they have the counted sums."""
    found = np.where(np.eye(len(counts_KK), dtype=bool), 0.0, 1.0)
    sums = counts_KK.sum(axis=1) - np.diag(counts_KK)
    for _ in range(5000):
        for axis in (0, 1):
            total = found.sum(axis=axis, keepdims=True)
            wanted = sums[None, :] if axis == 0 else sums[:, None]
            found = found * np.where(total > 0, wanted / np.where(total > 0, total, 1), 0)
    return np.round(found, 6)
