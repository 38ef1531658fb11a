"""What a check counts, what it warns of, and that neither depends on how the work is divided."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from classaware.data import FolderDataset
from classaware.data.checking.check import Report, check
from classaware.data.checking.inspection import Histogram, count_values
from classaware.data.manifest import COLUMNS, FileRow, Manifest
from classaware.files import sha256

SIZE = (40, 48)
NAMES = {"train": ("a", "b"), "val": ("c",)}


def save(path: Path, pixels: NDArray[np.uint8], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, names in NAMES.items():
        for name in names:
            save(tmp_path / f"images/{split}/{name}.png", rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8))
            save(tmp_path / f"masks/{split}/{name}.png", (np.indices(SIZE).sum(0) % 3).astype(np.uint8))
    (tmp_path / "classes.txt").write_text("sky\ntree\nroad\n")
    return tmp_path


def warnings(report: Report) -> list[tuple[str, str | None, str | None]]:
    assert report.status == 0
    assert all(finding.severity == "warning" for finding in report.findings)
    return [
        (one.kind, one.split, one.file and Path(one.file).relative_to(report.root).as_posix())
        for one in report.findings
    ]


def image(root: Path, name: str) -> NDArray[np.uint8]:
    with Image.open(root / f"images/{name}.png") as picture:
        return np.array(picture)


def test_a_mask_without_an_image(root: Path) -> None:
    (root / "masks/val/x.png").write_bytes((root / "masks/val/c.png").read_bytes())
    assert warnings(check(root, workers=0)) == [("mask without an image", "val", "masks/val/x.png")]


def test_a_picture_that_is_passed_over(root: Path) -> None:
    save(root / "images/val/x.tif", image(root, "val/c"))
    (root / "images/val/notes.txt").write_text("no picture")
    assert warnings(check(root, workers=0)) == [("picture of a type that is not read", "val", "images/val/x.tif")]


def test_one_image_twice(root: Path) -> None:
    save(root / "images/train/b.png", image(root, "train/a"))
    assert warnings(check(root, workers=0)) == [("same image twice", "train", "images/train/b.png")]


def test_an_image_in_two_splits_of_which_none_is_trained_on(root: Path) -> None:
    save(root / "images/test/z.png", image(root, "val/c"))
    save(root / "masks/test/z.png", np.indices(SIZE)[0].astype(np.uint8) % 3)
    assert warnings(check(root, workers=0)) == [("same image in two splits", "val", "images/val/c.png")]


def test_training_splits_may_share_images(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / kind / "train_more").mkdir()
        for name in ("a", "b"):
            content = (root / kind / "train" / f"{name}.png").read_bytes()
            (root / kind / "train_more" / f"{name}.png").write_bytes(content)
    assert check(root, workers=0).findings == ()


def test_one_name_in_two_splits_is_usual(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / kind / "val/c.png").rename(root / kind / "val/a.png")
    assert check(root, workers=0).findings == ()


def test_a_class_that_never_occurs(root: Path) -> None:
    (root / "classes.txt").write_text("sky\ntree\nroad\nwater\n")
    (finding,) = check(root, workers=0).findings
    assert (finding.severity, finding.kind) == ("warning", "class that never occurs")
    assert "class 3 (water)" in finding.message


def test_a_class_that_is_only_measured(root: Path) -> None:
    (root / "classes.txt").write_text("sky\ntree\nroad\nwater\n")
    save(root / "masks/val/c.png", (np.indices(SIZE).sum(0) % 4).astype(np.uint8))
    (finding,) = check(root, workers=0).findings
    assert (finding.severity, finding.kind, finding.split) == ("warning", "class that is not in training", "train")
    assert "class 3 (water) occurs in val but not in train" in finding.message


def test_a_mask_without_a_labeled_pixel(root: Path) -> None:
    save(root / "masks/train/b.png", np.full(SIZE, 255, dtype=np.uint8))
    assert warnings(check(root, workers=0)) == [("mask without a labeled pixel", "train", "masks/train/b.png")]


def test_an_image_turned_by_exif(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "images/train/b.png", image(root, "train/b"), exif=exif)
    assert warnings(check(root, workers=0)) == [("image rotated by EXIF", "train", "images/train/b.png")]
    exif[0x0112] = 1  # upright
    save(root / "images/train/b.png", image(root, "train/b"), exif=exif)
    assert warnings(check(root, workers=0)) == []


@pytest.mark.parametrize(
    ("mode", "kind", "suffix"),
    [("CMYK", "unusual color space", "jpg"), ("RGBA", "transparent image", "png"), ("LA", "transparent image", "png")],
)
def test_unusual_modes(root: Path, mode: str, kind: str, suffix: str) -> None:
    (root / "images/train/b.png").unlink()
    Image.fromarray(image(root, "train/a")).convert("RGB").convert(mode).save(root / f"images/train/b.{suffix}")
    assert warnings(check(root, workers=0)) == [(kind, "train", f"images/train/b.{suffix}")]


@pytest.mark.parametrize(("side", "number"), [(31, 1), (32, 0)])
def test_a_very_small_image(root: Path, side: int, number: int) -> None:
    save(root / "images/train/b.png", image(root, "train/b")[:, :side])
    save(root / "masks/train/b.png", (np.indices((SIZE[0], side)).sum(0) % 3).astype(np.uint8))
    assert warnings(check(root, workers=0)) == [("very small image", "train", "images/train/b.png")] * number


def test_classes_counted_from_1(root: Path) -> None:
    for split, names in NAMES.items():
        for name in names:
            save(root / f"masks/{split}/{name}.png", (np.indices(SIZE).sum(0) % 3 + 1).astype(np.uint8))
    report = check(root, workers=0)
    kinds = Counter(finding.kind for finding in report.findings)
    assert kinds == {"classes counted from 1": 3, "class that never occurs": 1}


def test_the_ignore_value_can_be_given(root: Path) -> None:
    changed = (np.indices(SIZE).sum(0) % 3).astype(np.uint8)
    changed[:8] = 77
    save(root / "masks/train/b.png", changed)
    (finding,) = check(root, workers=0).findings
    assert finding.kind == "unknown ignore value"
    assert "--ignore_index 77" in finding.message
    assert f"{100 * 8 / 40 / 3:.1f} % of all pixels" in finding.message
    report = check(root, ignore_index=77, workers=0)
    assert report.findings == ()
    assert [tally.ignored for tally in report.splits] == [8 * SIZE[1], 0]


def test_many_foreign_values_are_cut_short(root: Path) -> None:
    save(root / "masks/train/b.png", np.arange(40 * 48, dtype=np.uint16).reshape(40, 48))
    (finding,) = check(root, workers=0).findings
    assert finding.message.count(" pixels)") == 16
    assert f"and {40 * 48 - 3 - 1 - 16} more values" in finding.message


@pytest.fixture
def prepared(root: Path) -> Path:
    """The same folder with a manifest."""
    lines = [",".join(COLUMNS)]
    for split, names in NAMES.items():
        for name in names:
            files = root / f"images/{split}/{name}.png", root / f"masks/{split}/{name}.png"
            sums = [(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
            row = FileRow(split, name, f"{name}.png", *SIZE, *sums[0], *sums[1])
            lines.append(",".join(str(getattr(row, column)) for column in COLUMNS))
    (root / "files.csv").write_text("\n".join(lines) + "\n")
    colors = ((0, 0, 0), (9, 9, 9), (20, 20, 20))
    counts = {split: len(names) for split, names in NAMES.items()}
    texts = ("made", "Made", "form", ("sky", "tree", "road"), colors, 255, counts, counts)
    Manifest(1, *texts, "none", "none", "0", sha256(root / "files.csv")).write(root)
    return root


def test_a_prepared_folder_as_it_was_made(prepared: Path) -> None:
    assert FolderDataset(prepared).palette[1] == (9, 9, 9)
    assert check(prepared, workers=0).findings == ()


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_file_changed_since(prepared: Path, kind: str) -> None:
    path = prepared / kind / "train/b.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert warnings(check(prepared, workers=0)) == [("changed since prepared", "train", f"{kind}/train/b.png")]


def test_a_pair_missing_since(prepared: Path) -> None:
    for kind in ("images", "masks"):
        (prepared / kind / "train/b.png").unlink()
    assert set(warnings(check(prepared, workers=0))) == {
        ("missing since prepared", "train", "images/train/b.png"),
        ("number of images is not the published one", "train", None),
    }


def test_a_pair_added_since(prepared: Path) -> None:
    save(prepared / "images/train/z.png", 255 - image(prepared, "train/b"))
    (prepared / "masks/train/z.png").write_bytes((prepared / "masks/train/b.png").read_bytes())
    assert set(warnings(check(prepared, workers=0))) == {
        ("added since prepared", "train", "images/train/z.png"),
        ("number of images is not the published one", "train", None),
    }


def test_a_damaged_manifest(prepared: Path) -> None:
    (prepared / "manifest.json").write_text("{")
    (finding,) = check(prepared, workers=0).findings
    assert (finding.severity, finding.kind) == ("error", "unusable manifest")


def test_a_damaged_list_of_files(prepared: Path) -> None:
    (prepared / "files.csv").write_text("split\n")
    assert warnings(check(prepared, workers=0)) == [("unusable list of prepared files", None, "files.csv")]


def test_any_number_of_processes_finds_the_same(root: Path) -> None:
    rng = np.random.default_rng(1)
    for i in range(60):
        save(root / f"images/train/x{i}.png", rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8))
        save(root / f"masks/train/x{i}.png", rng.integers(0, 3 + (i % 9 == 0), SIZE, dtype=np.uint8))
    (root / "images/train/x7.png").write_bytes(b"")
    calls: list[tuple[int, int]] = []
    alone, two = check(root, workers=0), check(root, workers=2, progress=lambda *call: calls.append(call))
    assert alone.to_dict() == two.to_dict()
    assert alone.count("error") == 8
    assert calls == [(done, 63) for done in range(64)]
    assert json.loads(json.dumps(two.to_dict())) == two.to_dict()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_histogram_is_that_of_a_plain_loop(tmp_path: Path, data: st.DataObject) -> None:
    values = st.sampled_from([0, 1, 2, 254, 255])
    masks = data.draw(st.lists(st.lists(values, min_size=6, max_size=6), min_size=1, max_size=4), label="masks")
    pixels, images, ignored, others = Counter[int](), Counter[int](), 0, 0
    for folder in ("images", "masks"):
        for old in tmp_path.glob(f"{folder}/train/*"):
            old.unlink()
    for i, mask in enumerate(masks):
        save(tmp_path / f"images/train/{i}.png", np.full((2, 3, 3), i, dtype=np.uint8))
        save(tmp_path / f"masks/train/{i}.png", np.array(mask, dtype=np.uint8).reshape(2, 3))
        images.update({value for value in mask if value < 3})
        for value in mask:
            pixels[value] += value < 3
            ignored += value == 255
            others += value == 254
    (tmp_path / "classes.txt").write_text("sky\ntree\nroad\n")
    (tally,) = check(tmp_path, workers=0).splits
    assert tally.pixels_K.tolist() == [pixels[i] for i in range(3)]
    assert tally.images_K.tolist() == [images[i] for i in range(3)]
    assert (tally.images, tally.ignored, tally.other_pixels) == (len(masks), ignored, others)
    assert tally.pixels == 6 * len(masks)
    assert tally.labeled_share == pytest.approx((6 * len(masks) - ignored - others) / (6 * len(masks)))
    assert (tally.smallest, tally.largest) == ((2, 3), (2, 3))


@pytest.mark.parametrize("values", [[[-3, 0, 5]], [[70_000, 0, 5]], [[3, 0, 5]]])
def test_values_of_any_size_are_counted(values: list[list[int]]) -> None:
    other = values[0][0]
    assert count_values(np.array(values), 2, 5) == Histogram({0: 1}, 1, {other: 1}, 1, 1)


def test_an_ignored_class_is_a_class(root: Path) -> None:
    # As SegmentationDataset.read has it: ignore_index among the classes changes no label.
    assert count_values(np.array([[0, 1, 1]]), 2, 1) == Histogram({0: 1, 1: 2}, 0, {}, 0, 0)


@pytest.mark.parametrize(
    ("name", "images", "found"),
    [
        ("camvid", 701, {}),
        ("msrc21", 591, {"same image in two splits": 1, "same image twice": 1}),
        ("voc21", 1572, {}),
    ],
)
def test_real_data(data_root: Path, name: str, images: int, found: dict[str, int]) -> None:
    if not (data_root / name).is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"the data set {data_root / name} is absent")
    report = check(data_root / name)
    assert sum(tally.images for tally in report.splits) == images
    assert report.status == 0
    assert Counter(finding.kind for finding in report.findings) == found
    assert report.splits[0].name == "train"
