"""The real data sets, where they are at hand."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from classaware.data import CamVid, FolderDataset


def folder(data_root: Path, name: str) -> Path:
    path = data_root / name
    if not path.is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"the data set {path} is absent")
    return path


def test_camvid_is_whole(data_root: Path) -> None:
    data = CamVid(folder(data_root, "camvid"))
    names: list[str] = []
    for split, number in (("train", 367), ("val", 101), ("test", 233)):
        samples = data.samples(split)
        assert len(samples) == number
        names += [sample.name for sample in samples]
        for sample in samples[:: number // 20]:
            with Image.open(sample.image) as image, Image.open(sample.label) as label:
                assert image.size == label.size == (480, 360)
    assert len(set(names)) == 701


def test_values_of_camvid_are_classes_or_ignored(data_root: Path) -> None:
    data = CamVid(folder(data_root, "camvid"))
    seen: set[int] = set()
    for split in data.splits:
        for sample in data.samples(split)[::25]:
            image, label = data.read(sample)
            assert image.shape == (3, 360, 480)
            assert label.shape == (360, 480)
            seen |= set(label.unique().tolist())
    assert seen == {*range(11), 255}


@pytest.mark.parametrize(
    ("name", "classes", "counts"),
    [
        ("msrc21", 21, {"train": 276, "val": 59, "test": 256}),
        ("voc21", 21, {"train": 1169, "val": 100, "test": 303}),
    ],
)
def test_folders_open_as_they_are(data_root: Path, name: str, classes: int, counts: dict[str, int]) -> None:
    data = FolderDataset(folder(data_root, name))
    assert data.num_classes == len(data.palette) == classes
    assert {split: len(data.samples(split)) for split in data.splits} == counts
    seen: set[int] = set()
    for split in data.splits:
        for sample in data.samples(split)[:: counts[split] // 12]:
            image, label = data.read(sample)
            assert image.shape[1:] == label.shape
            assert image.dtype == torch.uint8
            seen |= set(label.unique().tolist())
    assert 255 in seen
    assert len(seen) > 12
