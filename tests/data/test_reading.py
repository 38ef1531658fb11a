import io
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import tv_tensors

from classaware.data import CamVid, FolderDataset
from classaware.data.dataset import default_palette
from classaware.errors import InputError

LABEL = np.array([[0, 1, 2, 255], [2, 2, 1, 0], [0, 0, 0, 1]], dtype=np.uint8)
RGB = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def save(path: Path, pixels: NDArray[np.uint8], mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / "images/train/a.png", RGB)
    save(tmp_path / "masks/train/a.png", LABEL)
    (tmp_path / "classes.txt").write_text("sky\ntree\nsign symbol\n")
    return tmp_path


def read(root: Path) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    data = FolderDataset(root)
    return data.read(data.samples("train")[0])


def test_a_pair_is_read_as_it_is(root: Path) -> None:
    image, label = read(root)
    assert isinstance(image, tv_tensors.Image)
    assert isinstance(label, tv_tensors.Mask)
    assert image.dtype == torch.uint8
    assert label.dtype == torch.int64
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), RGB)
    np.testing.assert_array_equal(label.numpy(), LABEL)


def test_samples_are_sorted_and_splits_found(root: Path) -> None:
    for name in ("c.png", "b.JPG", "a10.bmp", "a9.webp"):
        save(root / "images/val" / name, RGB)
        save(root / "masks/val" / f"{Path(name).stem}.png", LABEL)
    (root / "images/val/notes.txt").write_text("no image")
    data = FolderDataset(root)
    assert data.splits == ("train", "val")
    assert data.class_names == ("sky", "tree", "sign symbol")
    assert [sample.name for sample in data.samples("val")] == ["a10", "a9", "b", "c"]
    assert all(sample.label.stem == sample.image.stem == sample.name for sample in data.samples("val"))


def test_indices_of_a_palette_mask_are_read_not_its_colors(root: Path) -> None:
    picture = Image.fromarray(LABEL)
    picture.putpalette([200, 10, 30, 0, 250, 3] + [7] * 762)
    picture.save(root / "masks/train/a.png")
    assert Image.open(root / "masks/train/a.png").mode == "P"
    np.testing.assert_array_equal(read(root)[1].numpy(), LABEL)


def test_gray_becomes_rgb_and_alpha_is_dropped(root: Path) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    save(root / "images/train/a.png", gray)
    np.testing.assert_array_equal(read(root)[0].numpy(), np.stack([gray] * 3))
    save(root / "images/train/a.png", np.dstack([RGB, gray]))
    np.testing.assert_array_equal(read(root)[0].permute(1, 2, 0).numpy(), RGB)


def test_exif_orientation_is_ignored(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(RGB).save(root / "images/train/a.png", exif=exif)
    assert read(root)[0].shape == (3, 3, 4)


def test_labels_that_are_no_class(root: Path) -> None:
    save(root / "masks/train/a.png", np.where(LABEL == 1, 3, LABEL).astype(np.uint8))
    with pytest.raises(InputError, match=r"a\.png.* 3 \(3 .*ignore_index"):
        read(root)


def test_another_ignore_index(root: Path) -> None:
    save(root / "masks/train/a.png", np.where(LABEL == 255, 77, LABEL).astype(np.uint8))
    data = FolderDataset(root, ignore_index=77)
    assert int((data.read(data.samples("train")[0])[1] == 77).sum()) == 1
    with pytest.raises(InputError, match="77"):
        read(root)


def test_sizes_that_differ_are_both_named(root: Path) -> None:
    save(root / "masks/train/a.png", LABEL[:2])
    with pytest.raises(InputError, match=r"3x4.*2x4"):
        read(root)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_color_picture_as_mask(root: Path, mode: str) -> None:
    save(root / "masks/train/a.png", RGB, mode)
    with pytest.raises(InputError, match=rf"masks.*a\.png.*color picture.*{mode}"):
        read(root)


@pytest.mark.parametrize("kind", ["images", "masks"])
@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
def test_damaged_files_are_named(root: Path, kind: str, damage: str) -> None:
    buffer = io.BytesIO()
    shape = (64, 64, 3) if kind == "images" else (64, 64)
    Image.fromarray(np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)).save(buffer, "PNG")
    content = {"empty": b"", "text": b"not an image", "truncated": buffer.getvalue()[: buffer.tell() // 2]}[damage]
    (root / kind / "train/a.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"{kind}.train.a\.png"):
        read(root)


def test_a_truncated_jpeg_is_not_filled_with_gray(root: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    (root / "images/train/a.png").unlink()
    (root / "images/train/a.jpg").write_bytes(buffer.getvalue()[: buffer.tell() // 2])
    with pytest.raises(InputError, match=r"a\.jpg"):
        read(root)


def test_an_unknown_split_lists_the_splits(root: Path) -> None:
    with pytest.raises(InputError, match=r"'test'.*train"):
        FolderDataset(root).samples("test")


def test_an_image_without_mask_is_named(root: Path) -> None:
    save(root / "images/train/b.png", RGB)
    with pytest.raises(InputError, match=r"b\.png"):
        FolderDataset(root).samples("train")


def test_two_images_for_one_mask(root: Path) -> None:
    save(root / "images/train/a.jpg", RGB)
    with pytest.raises(InputError, match=r"a\.jpg.*a\.png"):
        FolderDataset(root).samples("train")


@pytest.mark.parametrize("missing", ["", "classes.txt", "images", "masks/train"])
def test_what_is_missing_is_named(root: Path, missing: str) -> None:
    (root / missing).rename(root.parent / f"{root.name}-{Path(missing).name}-away")
    with pytest.raises(InputError, match=missing.replace("/", ".") or root.name):
        FolderDataset(root).samples("train")


@pytest.mark.parametrize("content", ["", "a\n\nb\n", "a\na\n"])
def test_a_list_of_classes_with_gaps(root: Path, content: str) -> None:
    (root / "classes.txt").write_text(content)
    with pytest.raises(InputError, match=r"classes\.txt"):
        FolderDataset(root)


def test_the_default_palette_is_that_of_pascal_voc() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 7: (128, 128, 128), 8: (64, 0, 0), 15: (192, 128, 128)}
    palette = default_palette(256)
    assert {index: palette[index] for index in known} == known
    assert palette[255] == (224, 224, 192)
    assert len(set(palette)) == 256


def test_camvid_from_made_files(tmp_path: Path) -> None:
    save(tmp_path / "train/x.png", RGB)
    save(tmp_path / "trainannot/x.png", np.where(LABEL == 255, 11, LABEL).astype(np.uint8))
    data = CamVid(tmp_path)
    np.testing.assert_array_equal(data.read(data.samples("train")[0])[1].numpy(), LABEL)
    with pytest.raises(InputError, match="val"):
        data.samples("val")


def test_camvid(data_root: Path) -> None:
    data = CamVid(data_root / "camvid")
    assert {split: len(data.samples(split)) for split in data.splits} == {"train": 367, "val": 101, "test": 233}
    assert data.num_classes == len(data.palette) == 11
    counts = torch.zeros(256, dtype=torch.int64)
    for sample in data.samples("val")[::10]:
        image, label = data.read(sample)
        assert image.shape == (3, 360, 480)
        counts += torch.bincount(label.flatten(), minlength=256)
    assert set(counts.nonzero().flatten().tolist()) == {*range(11), 255}
    assert int(counts.argmax()) in (1, 3)  # building or road: which is 1 or 3 tells the order of the classes
