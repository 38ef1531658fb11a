"""Files that look right and are not: each must be one error that names it, or be read as it is meant."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classaware.data import CamVid, FolderDataset, read_image
from classaware.data.dataset import default_palette, read_mask
from classaware.errors import InputError

GRAY = np.array([[0, 1, 2, 1]], dtype=np.uint8)


def make(root: Path, *names: str) -> FolderDataset:
    """A folder of gray images, each with a mask."""
    for kind in ("images", "masks"):
        (root / kind / "train").mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("sky\ntree\nroad\n")
    for name in names:
        Image.fromarray(GRAY).save(root / "images/train" / name)
        Image.fromarray(GRAY).save(root / "masks/train" / f"{Path(name).stem}.png")
    return FolderDataset(root)


def raw_png(depth: int, color: int, row: bytes, width: int) -> bytes:
    """A PNG of one row, written by hand."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, 1, depth, color, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(12))) if color == 3 else b""
    data = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + data + chunk(b"IEND", b"")


def test_two_images_of_one_stem_are_found_behind_a_third(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jpg.*a\.png"):
        make(tmp_path, "a.jpg", "a.k.png", "a.png").samples("train")


def test_samples_are_sorted_by_name(tmp_path: Path) -> None:
    names = [sample.name for sample in make(tmp_path, "a-b.png", "a.png", "B.png", "a.c.bmp").samples("train")]
    assert names == ["B", "a", "a-b", "a.c"] == sorted(names)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images.train holds no image .*\.jpg"):
        make(tmp_path).samples("train")


def test_no_split_at_all(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "classes.txt").write_text("sky\n")
    with pytest.raises(InputError, match=r"images holds no folder.*images/train"):
        FolderDataset(tmp_path)


def test_a_missing_mask_says_what_to_do(tmp_path: Path) -> None:
    data = make(tmp_path, "a.png", "b.png")
    (tmp_path / "masks/train/b.png").unlink()
    with pytest.raises(InputError, match=r"1 of 2 .*masks.train.b\.png.*add.*or remove"):
        data.samples("train")


def test_a_file_that_went_away_since_it_was_listed(tmp_path: Path) -> None:
    data = make(tmp_path, "a.png")
    (sample,) = data.samples("train")
    sample.label.unlink()
    with pytest.raises(InputError, match=r"masks.train.a\.png does not exist"):
        data.read(sample)


def test_a_folder_with_the_name_of_an_image(tmp_path: Path) -> None:
    data = make(tmp_path, "a.png")
    (tmp_path / "images/train/a.png").unlink()
    (tmp_path / "images/train/a.png").mkdir()
    with pytest.raises(InputError, match=r"images.train.a\.png cannot be read"):
        data.read(data.samples("train")[0])


@pytest.mark.parametrize(("depth", "row"), [(4, b"\x01\x21"), (2, b"\x19")])
def test_narrow_gray_masks_would_be_stretched(tmp_path: Path, depth: int, row: bytes) -> None:
    (tmp_path / "a.png").write_bytes(raw_png(depth, 0, row, 4))
    with Image.open(tmp_path / "a.png") as picture:
        assert np.array(picture).max() > 2  # what they would be read as
    with pytest.raises(InputError, match=rf"a\.png.*{depth} bits.*8-bit"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize(("depth", "row"), [(4, b"\x01\x21"), (2, b"\x19")])
def test_narrow_palettes_are_indices(tmp_path: Path, depth: int, row: bytes) -> None:
    (tmp_path / "a.png").write_bytes(raw_png(depth, 3, row, 4))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[0, 1, 2, 1]])


def test_one_bit_masks_are_0_and_1(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(raw_png(1, 0, b"\x50", 4))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[0, 1, 0, 1]])


def wide(values: list[int]) -> NDArray[np.uint16]:
    return np.array([values], dtype=np.uint16)


def test_masks_of_16_bits_keep_their_values(tmp_path: Path) -> None:
    Image.fromarray(wide([0, 300, 65535, 7])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[0, 300, 65535, 7]])


def test_images_of_16_bits_would_be_cut(tmp_path: Path) -> None:
    Image.fromarray(wide([0, 300, 65535, 7])).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png.*8 bits"):
        read_image(tmp_path / "a.png")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfsky\r\ntree\r\nroad\r\n")
    assert FolderDataset(tmp_path).class_names == ("sky", "tree", "road")


def test_a_class_list_that_is_no_text(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"classes\.txt.*UTF-8"):
        FolderDataset(tmp_path)


def test_a_mask_value_next_to_the_classes(tmp_path: Path) -> None:
    data = make(tmp_path, "a.png")
    Image.fromarray(GRAY + np.uint8(1)).save(tmp_path / "masks/train/a.png")
    with pytest.raises(InputError, match=r"a\.png holds the value 3 \(1 such .*3 classes \(0 to 2\)"):
        data.read(data.samples("train")[0])


def test_camvid_knows_11_and_nothing_above(tmp_path: Path) -> None:
    for folder in ("val", "valannot"):
        (tmp_path / folder).mkdir()
    Image.fromarray(GRAY).save(tmp_path / "val/x.jpg")
    Image.fromarray(np.array([[0, 10, 11, 11]], dtype=np.uint8)).save(tmp_path / "valannot/x.png")
    data = CamVid(tmp_path)
    (sample,) = data.samples("val")
    assert data.read(sample)[1].tolist() == [[0, 10, 255, 255]]
    Image.fromarray(np.array([[0, 10, 11, 12]], dtype=np.uint8)).save(tmp_path / "valannot/x.png")
    with pytest.raises(InputError, match=r"x\.png holds the value 12"):
        data.read(sample)


def test_every_published_color_of_pascal_voc() -> None:
    colors = [
        *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)),
        *((128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128)),
        *((64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128)),
    ]
    assert list(default_palette(21)) == colors
