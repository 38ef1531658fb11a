"""Every kind of damage: the check finds it under the file's name, and what it calls an error no training gets past."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classaware.commands.main import main
from classaware.data import FolderDataset
from classaware.data.checking.check import Report, check
from classaware.errors import InputError

NAMES = {"train": ("a", "b", "c"), "val": ("d", "e")}
SIZE = (48, 64)


def make_clean(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, names in NAMES.items():
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for name in names:
            save(root / f"images/{split}/{name}.jpg", rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8))
            label = np.kron(rng.permutation(12).reshape(3, 4) % 3, np.ones((16, 16), dtype=np.uint8)).astype(np.uint8)
            label[0] = 255
            save(root / f"masks/{split}/{name}.png", label)
    (root / "classes.txt").write_text("sky\ntree\nroad\n")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_clean(tmp_path / "data")


def save(path: Path, pixels: NDArray[np.generic], **options: object) -> None:
    Image.fromarray(pixels).save(path, **options)


def label(root: Path, name: str = "train/b") -> NDArray[np.uint8]:
    with Image.open(root / f"masks/{name}.png") as picture:
        return np.array(picture)


def image(root: Path, name: str = "train/b") -> NDArray[np.uint8]:
    with Image.open(root / f"images/{name}.jpg") as picture:
        return np.array(picture)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def truncated_image(root: Path) -> None:
    cut(root / "images/train/b.jpg")


def no_image(root: Path) -> None:
    (root / "images/train/b.jpg").write_text("<html>404</html>")


def empty_image(root: Path) -> None:
    (root / "images/train/b.jpg").write_bytes(b"")


def head_alone(root: Path) -> None:
    path = root / "images/train/b.jpg"
    path.write_bytes(path.read_bytes()[:12])


def folder_for_an_image(root: Path) -> None:
    (root / "images/train/b.jpg").unlink()
    (root / "images/train/b.jpg").mkdir()


def deep_image(root: Path) -> None:
    (root / "images/train/b.jpg").unlink()
    save(root / "images/train/b.png", np.full(SIZE, 40_000, dtype=np.uint16))


def float_image(root: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros(SIZE, dtype=np.float32)).save(buffer, "TIFF")
    (root / "images/train/b.jpg").unlink()
    (root / "images/train/b.png").write_bytes(buffer.getvalue())


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(root: Path) -> None:
    head = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 0, 0, 0, 0)  # 200 million pixels
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (root / "images/train/b.jpg").unlink()
    (root / "images/train/b.png").write_bytes(content)


def narrow_mask(root: Path) -> None:
    head = struct.pack(">IIBBBBB", SIZE[1], SIZE[0], 2, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x19" * (SIZE[1] // 4)) * SIZE[0])
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (root / "masks/train/b.png").write_bytes(content)


def truncated_mask(root: Path) -> None:
    cut(root / "masks/train/b.png")


def missing_mask(root: Path) -> None:
    (root / "masks/train/b.png").unlink()


def mask_named_jpeg(root: Path) -> None:
    (root / "masks/train/b.png").rename(root / "masks/train/b.jpg")


def mask_of_another_size(root: Path) -> None:
    save(root / "masks/train/b.png", label(root)[:-1])


def color_mask(root: Path) -> None:
    save(root / "masks/train/b.png", np.stack([label(root)] * 3, axis=2))


def jpeg_mask(root: Path) -> None:
    save(root / "masks/train/b.png", np.zeros(SIZE, dtype=np.uint8), format="JPEG")


def foreign_value(root: Path) -> None:
    changed = label(root)
    changed[5, 5] = 7
    save(root / "masks/train/b.png", changed)


def unknown_ignore_value(root: Path) -> None:
    changed = label(root)
    changed[:10] = 254
    save(root / "masks/train/b.png", changed)


def two_images(root: Path) -> None:
    save(root / "images/train/b.png", image(root))


def no_mask_folder(root: Path) -> None:
    (root / "masks/val").rename(root / "masks/away")


def empty_split(root: Path) -> None:
    for name in NAMES["val"]:
        (root / f"images/val/{name}.jpg").unlink()
        (root / f"masks/val/{name}.png").unlink()


def shared_image(root: Path) -> None:
    (root / "images/val/d.jpg").write_bytes((root / "images/train/b.jpg").read_bytes())


def gap_in_the_classes(root: Path) -> None:
    (root / "classes.txt").write_text("sky\n\nroad\n")


def no_splits(root: Path) -> None:
    (root / "images").rename(root / "elsewhere")
    (root / "images").mkdir()


class Damage(NamedTuple):
    do: Callable[[Path], None]
    kind: str
    file: str


DAMAGES = [
    Damage(truncated_image, "truncated image", "images/train/b.jpg"),
    Damage(head_alone, "truncated image", "images/train/b.jpg"),
    Damage(no_image, "not an image", "images/train/b.jpg"),
    Damage(empty_image, "empty file", "images/train/b.jpg"),
    Damage(folder_for_an_image, "unreadable file", "images/train/b.jpg"),
    Damage(deep_image, "image of more than 8 bits", "images/train/b.png"),
    Damage(float_image, "image of more than 8 bits", "images/train/b.png"),
    Damage(bomb, "too many pixels", "images/train/b.png"),
    Damage(truncated_mask, "truncated mask", "masks/train/b.png"),
    Damage(missing_mask, "missing mask", "masks/train/b.png"),
    Damage(mask_named_jpeg, "missing mask", "masks/train/b.png"),
    Damage(mask_of_another_size, "mask of another size", "masks/train/b.png"),
    Damage(color_mask, "mask is a color picture", "masks/train/b.png"),
    Damage(jpeg_mask, "mask saved as JPEG", "masks/train/b.png"),
    Damage(narrow_mask, "gray mask under 8 bits", "masks/train/b.png"),
    Damage(foreign_value, "values outside the classes", "masks/train/b.png"),
    Damage(unknown_ignore_value, "unknown ignore value", "masks/train/b.png"),
    Damage(two_images, "two images with one name", "images/train/b.png"),
    Damage(empty_split, "empty folder", "images/val"),
    Damage(no_mask_folder, "missing folder", "masks/val"),
    Damage(shared_image, "same image in two splits", "images/val/d.jpg"),
    Damage(gap_in_the_classes, "unusable list of classes", "classes.txt"),
    Damage(no_splits, "no split", "images"),
]
every = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.do.__name__)


def read_all(root: Path) -> None:
    data = FolderDataset(root)
    for split in data.splits:
        for sample in data.samples(split):
            data.read(sample)


def errors(report: Report) -> Iterator[tuple[str, str]]:
    for finding in report.findings:
        if finding.severity == "error":
            yield finding.kind, str(Path(finding.file or "").relative_to(report.root))


def test_clean_data_has_no_finding(root: Path) -> None:
    read_all(root)
    report = check(root, workers=0)
    assert (report.findings, report.status) == ((), 0)


@every
def test_the_check_finds_it_and_nothing_else(root: Path, damage: Damage) -> None:
    damage.do(root)
    report = check(root, workers=0)
    assert list(errors(report)) == [(damage.kind, damage.file)]
    assert report.status == 1
    (finding,) = (finding for finding in report.findings if finding.severity == "error")
    assert str(root / damage.file) in finding.message
    assert finding.message.rstrip().endswith(".") or "cannot be read" in finding.message
    # Masks of a renamed folder, and a class list that is short, have consequences of their own.
    assert len(report.findings) == (2 if damage.do is no_mask_folder else 1), report.findings


@every
def test_reading_refuses_it(root: Path, damage: Damage) -> None:
    damage.do(root)
    if damage.do is shared_image:  # what only a training can see; below
        return read_all(root)
    with pytest.raises(InputError) as caught:
        read_all(root)
    assert str(root / damage.file) in str(caught.value)


@every
def test_a_training_ends_in_one_line_that_names_it(
    root: Path, damage: Damage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage.do(root)
    options = {
        "data.dataset": "FolderDataset",
        "data.dataset.root": str(root),
        "data.batch_size": "3",  # a step sees every image
        "data.crop_size": "[32,32]",
        "data.num_workers": "0",
        "network.backbone.name": "test_resnet",
        "network.head": "FCNHead",
        "network.head.channels": "8",
        "trainer.max_steps": "2",
        "trainer.val_check_interval": "2",
        "trainer.accelerator": "cpu",
        "output": str(tmp_path / "run"),
    }
    status = main(["fit", *(part for name, value in options.items() for part in (f"--{name}", value))])
    error = capsys.readouterr().err
    assert status == 2
    (line,) = (line for line in error.splitlines() if "error: " in line)
    assert str(root / damage.file) in line
    assert "Traceback" not in error


def test_all_damages_at_once_are_all_found(root: Path) -> None:
    missing_mask(root)
    cut(root / "images/train/a.jpg")
    cut(root / "masks/train/c.png")
    (root / "images/val/d.jpg").write_bytes(b"")
    changed = label(root, "val/e")
    changed[3, 3] = 9
    save(root / "masks/val/e.png", changed)
    assert set(errors(check(root, workers=0))) == {
        ("missing mask", "masks/train/b.png"),
        ("truncated image", "images/train/a.jpg"),
        ("truncated mask", "masks/train/c.png"),
        ("empty file", "images/val/d.jpg"),
        ("values outside the classes", "masks/val/e.png"),
    }
