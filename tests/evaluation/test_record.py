import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_records import fake_confusions, fake_record

from classaware.errors import InputError
from classaware.evaluation.record import class_counts, read_record, write_csv, write_record

ARRAYS = ("confusion", "counts", "boundary")


def test_class_counts_of_a_matrix() -> None:
    assert class_counts(torch.tensor([[2, 1, 0], [0, 3, 4], [0, 0, 0]])).tolist() == [[2, 0, 1], [3, 1, 4], [0, 4, 0]]


@pytest.mark.parametrize("boundary", [True, False])
def test_what_is_written_is_read(tmp_path: Path, boundary: bool) -> None:
    record = fake_record(3, confusions=fake_confusions(3, absent=[2]), boundary=boundary, commit=None)
    path = tmp_path / "new" / "r.json"
    write_record(path, record)
    again = read_record(path)
    assert again.path == path
    for name in vars(record):
        if name not in ("path", "scores", *ARRAYS):
            assert getattr(again, name) == getattr(record, name), name
    for name in ARRAYS:
        one, other = getattr(record, name), getattr(again, name)
        assert (one is None and other is None) or (one.dtype == other.dtype and np.array_equal(one, other))
    assert math.isnan(again.iou[2])
    write_record(tmp_path / "again.json", again)
    assert path.read_bytes() == (tmp_path / "again.json").read_bytes()


def test_the_file_has_the_agreed_keys_and_only_classes_that_occur(tmp_path: Path) -> None:
    confusions = np.array([[[5, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 7, 0], [0, 0, 0]]])
    write_record(tmp_path / "r.json", fake_record(confusions=confusions))
    content = json.loads((tmp_path / "r.json").read_text())
    assert (content["format"], content["version"]) == ("classaware-evaluation", 1)
    assert content["per_image"] == [
        {"name": "image0", "counts": [[0, 5, 0, 1], [1, 0, 1, 0]]},
        {"name": "image1", "counts": [[1, 7, 0, 0]]},
    ]
    assert content["confusion"] == [[5, 1, 0], [0, 7, 0], [0, 0, 0]]
    assert content["mean_iou"] == pytest.approx((5 / 6 + 7 / 8) / 2, abs=1e-15)
    assert content["frequency_weighted_iou"] == pytest.approx((6 * 5 / 6 + 7 * 7 / 8) / 13, abs=1e-15)
    assert content["classes"][2] == {"name": "car", "iou": None, "accuracy": None, "boundary_iou": None, "pixels": 0}
    assert set(content) == {
        *("format", "version", "mean_iou", "mean_accuracy", "pixel_accuracy", "frequency_weighted_iou"),
        *("mean_boundary_iou", "classes", "data", "inference", "checkpoint", "training", "versions", "commit"),
        *("device", "date", "boundary", "confusion", "per_image"),
    }


def test_csv(tmp_path: Path) -> None:
    record = fake_record(confusions=fake_confusions(0, absent=[1]))
    record = replace(record, class_names=('a, "b"', "gone", "c", "d"))
    write_csv(tmp_path / "r.csv", record)
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["class", "iou", "accuracy", "boundary_iou", "pixels"]
    assert [row["class"] for row in rows] == [*record.class_names, "mean", "all pixels", "frequency-weighted"]
    assert [float(row["iou"]) for row in rows[2:5]] == [*record.iou[2:], record.mean_iou]
    assert rows[1] == {"class": "gone", "iou": "", "accuracy": "", "boundary_iou": "", "pixels": "0"}
    assert int(rows[4]["pixels"]) == record.confusion.sum() == sum(int(row["pixels"]) for row in rows[:4])
    assert float(rows[5]["accuracy"]) == record.scores.pixel_accuracy
    assert float(rows[6]["iou"]) == record.scores.frequency_weighted_iou


def _set(*place: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in place[:-1]:
            content = content[key]
        content[place[-1]] = to

    return change


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.pop(key)


DAMAGES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (_drop("format"), "not what 'classaware evaluate --json' writes"),
    (_set("format", to="something-else"), "not what 'classaware evaluate --json' writes"),
    (_set("version", to=0), "version 0 of the format"),
    (_set("version", to=2), "version 2 of the format"),
    (_drop("confusion"), "no 'confusion'"),
    (_drop("per_image"), "no 'per_image'"),
    (_drop("training"), "no 'training'"),
    (_set("data", to=[]), "damaged.*dict"),
    (_set("commit", to=7), "damaged.*str"),
    (_set("classes", to=None), "damaged"),
    (_set("classes", 0, to={"name": 3}), "damaged.*str"),
    (lambda content: content["classes"].pop(), "shape|beyond"),
    (lambda content: content["confusion"].pop(), r"confusion has shape \(3, 4\)"),
    (lambda content: content["confusion"][0].pop(), "damaged"),
    (_set("confusion", 0, 0, to=-5), "below 0"),
    (_set("confusion", 0, 0, to=5), "do not sum up to the confusion matrix"),
    (_set("confusion", 0, 0, to=0.5), "no integers"),
    (_set("confusion", 0, 0, to="5"), "no integers"),
    (_set("confusion", 0, 0, to=10**30), "no integers"),
    (_set("boundary", to=[[1, 2, 3]]), r"boundary has shape \(1, 3\)"),
    (lambda content: content["per_image"].pop(), "data.images is 12 and there are 11"),
    (_set("per_image", 1, "name", to="image0"), "two images have one name"),
    (_set("per_image", 0, "counts", to=[[0, 1, 2]]), "'image0' are not rows of class, tp, fp, fn"),
    (_set("per_image", 0, "counts", to=[[9, 1, 2, 3]]), r"beyond 0\.\.3"),
    (_set("per_image", 0, "counts", to=[[0, 1, 2, 3], [0, 1, 2, 3]]), "a class twice"),
    (_set("per_image", 0, "counts", to=[[0, 1, 2, 3]]), "do not sum up"),
    (_set("per_image", 0, "counts", to=[]), "do not sum up"),
    (_set("per_image", 0, to="image0"), "damaged"),
    (_set("mean_iou", to=0.999), "says mIoU 0.999, its counts say"),
    (_set("mean_iou", to=None), "says mIoU None"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_damaged_content_is_named(tmp_path: Path, damage: Callable[[dict[str, Any]], Any], words: str) -> None:
    path = tmp_path / "r.json"
    write_record(path, fake_record())
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=words) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"),
        (b"\x89PNG\r\n", "no JSON"),
        (b"[1, 2]", "not what"),
        (b"null", "not what"),
        (b'{"checkpoint": "run/last.ckpt", "mean_iou": 0.4}', "not what"),  # as written before there was a format
        (b'{"format": "classaware-evaluation", "version": 1, "mean_iou": NaN}', "no JSON.*NaN"),
        (b"[" * 100_000, "no JSON"),
        (b'{"format": "classaware-evaluation", "version": 1}', "damaged"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


def test_a_file_cut_anywhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, fake_record())
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match="no JSON"):
            read_record(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json does not exist.*--json"):
        read_record(tmp_path / "none.json")
    with pytest.raises(InputError, match="does not exist"):
        read_record(tmp_path)


def test_contradictions_are_found_before_anything_is_written() -> None:
    record = fake_record()
    with pytest.raises(InputError, match="do not sum up"):
        replace(record, counts=record.counts + 1)
    with pytest.raises(InputError, match="two images have one name"):
        replace(record, names=("image0",) * 12)
