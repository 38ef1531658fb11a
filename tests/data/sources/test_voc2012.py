import numpy as np
import pytest
from PIL import Image

from classaware.data.sources import IGNORED, SOURCES
from classaware.errors import InputError

VOC = SOURCES["voc2012"]
ROOT = "VOCdevkit/VOC2012/"
OWN = [[0, 1, 20], [15, 255, 7]]
FURTHER = [[2, 2, 0]]


def colored(values: list[list[int]]) -> Image.Image:
    """A palette PNG with VOC's colors."""
    picture = Image.fromarray(np.array(values, dtype=np.uint8))
    colors = bytearray(768)
    for index, color in enumerate(VOC.palette):
        colors[3 * index : 3 * index + 3] = bytes(color)
    colors[765:] = bytes((224, 224, 192))
    picture.putpalette(bytes(colors))
    assert picture.mode == "P"
    return picture


@pytest.fixture
def voc(photo):
    names = {"train": ["2007_000001", "2007_000002"], "val": ["2007_000003"], "none": ["2008_000004", "2008_000005"]}
    files = {f"{ROOT}JPEGImages/{name}.jpg": photo for split in names.values() for name in split}
    for split in ("train", "val"):
        files[f"{ROOT}ImageSets/Segmentation/{split}.txt"] = "\n".join(names[split]) + "\n"
        files |= {f"{ROOT}SegmentationClass/{name}.png": colored(OWN) for name in names[split]}
        files |= {f"{ROOT}SegmentationObject/{name}.png": colored(OWN) for name in names[split]}
    files[f"{ROOT}ImageSets/Main/train.txt"] = "2008_000004"
    return files


def test_colors_of_the_palette_are_not_looked_at(lay, voc, read) -> None:
    layout = VOC.find(lay(VOCtrainval__tar=voc))
    expected = [[0, 1, 20], [15, IGNORED, 7]]
    assert layout.form == "VOC"
    assert layout.expected == {"train": 1464, "val": 1449}
    assert read(VOC, layout) == {
        ("train", "2007_000001"): expected,
        ("train", "2007_000002"): expected,
        ("val", "2007_000003"): expected,
    }


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_color_pictures_and_gray_indices(lay, voc, read, mode) -> None:
    gray = Image.fromarray(np.array(OWN, dtype=np.uint8))
    voc[f"{ROOT}SegmentationClass/2007_000003.png"] = gray if mode == "L" else colored(OWN).convert(mode)
    layout = VOC.find(lay(voc))
    assert read(VOC, layout)["val", "2007_000003"] == [[0, 1, 20], [15, IGNORED, 7]]


def boundaries(photo) -> dict:
    """SBD: its train holds an image of VOC's val, its val one of VOC's train."""
    segmentation = {"Segmentation": np.array(FURTHER, dtype=np.uint8), "CategoriesPresent": [[2]]}
    names = ("2007_000002", "2007_000003", "2008_000004", "2008_000005")
    files = {f"benchmark_RELEASE/dataset/cls/{name}.mat": {"GTcls": segmentation} for name in names}
    files |= {f"benchmark_RELEASE/dataset/inst/{name}.mat": {"GTinst": segmentation} for name in names}
    files |= {f"benchmark_RELEASE/dataset/img/{name}.jpg": photo for name in names}
    files["benchmark_RELEASE/dataset/train.txt"] = "2007_000003\n2008_000004\n"
    files["benchmark_RELEASE/dataset/val.txt"] = "2008_000005\n2007_000002\n"
    return files


def test_sbd_adds_what_is_not_in_val_and_voc_goes_first(lay, voc, photo, read) -> None:
    layout = VOC.find(lay(VOCtrainval__tar=voc, benchmark__tgz=boundaries(photo)))
    expected = [[0, 1, 20], [15, IGNORED, 7]]
    assert layout.form == "VOC and SBD"
    assert layout.expected == {"train": 10582, "val": 1449}
    assert read(VOC, layout) == {
        ("train", "2007_000001"): expected,
        ("train", "2007_000002"): expected,
        ("train", "2008_000004"): FURTHER,
        ("train", "2008_000005"): FURTHER,
        ("val", "2007_000003"): expected,
    }


@pytest.mark.parametrize("listed", [False, True])
def test_ready_augmented_masks(lay, voc, read, listed) -> None:
    names = ("2007_000001", "2007_000002", "2007_000003", "2008_000004", "2008_000005")
    ready = {f"SegmentationClassAug/{name}.png": np.array(FURTHER, dtype=np.uint8) for name in names}
    if listed:
        voc[f"{ROOT}ImageSets/Segmentation/trainaug.txt"] = "2007_000001\n2008_000004"
    layout = VOC.find(lay(VOC__tar=voc, SegmentationClassAug__zip=ready))
    found = read(VOC, layout)
    assert layout.expected == {"train": 10582, "val": 1449}
    assert found["train", "2008_000004"] == FURTHER
    assert found["train", "2007_000001"] == found["val", "2007_000003"] == [[0, 1, 20], [15, IGNORED, 7]]
    assert sorted(name for _, name in found) == [name for name in names if not listed or name != "2008_000005"]


def test_ready_augmented_masks_without_vocs_own(lay, voc, read) -> None:
    files = {path: value for path, value in voc.items() if "SegmentationClass/" not in path}
    files |= {f"SegmentationClassAug/2007_00000{k}.png": np.array(FURTHER, dtype=np.uint8) for k in (1, 2, 3)}
    assert read(VOC, VOC.find(lay(files)))["val", "2007_000003"] == FURTHER


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("JPEGImages", "JPEGImages/X.jpg"),
        ("SegmentationClass", "SegmentationClass/X.png"),
        ("SegmentationClass/2007_000002", "1 of the 2 labels of split train, first 2007_000002,"),
        ("JPEGImages/2007_000003", "1 of the 1 images of split val, first 2007_000003,"),
        ("ImageSets/Segmentation/val.txt", "ImageSets/Segmentation/val.txt"),
    ],
)
def test_incomplete_downloads(lay, voc, gone, message) -> None:
    files = {path: value for path, value in voc.items() if gone not in path}
    with pytest.raises(InputError, match=message) as caught:
        VOC.find(lay(files))
    assert "VOCtrainval_11-May-2012.tar" in str(caught.value)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.array([[0, 21, 22]], dtype=np.uint8), r"holds the value 21 \(2 such"),
        (np.array([[[0, 0, 0], [1, 2, 3]]], dtype=np.uint8), r"holds the color \(1, 2, 3\)"),
        (b"\x89PNG\r\n\x1a\n cut", "cannot be read as an image"),
    ],
)
def test_labels_of_another_kind(lay, voc, label, message) -> None:
    voc[f"{ROOT}SegmentationClass/2007_000003.png"] = label
    layout = VOC.find(lay(voc))
    with pytest.raises(InputError, match=message) as caught:
        VOC.label(layout.originals[-1])
    assert "2007_000003.png" in str(caught.value)


def test_sbd_without_its_lists(lay, voc, photo) -> None:
    files = {path: value for path, value in boundaries(photo).items() if not path.endswith("dataset/val.txt")}
    with pytest.raises(InputError, match=r"dataset/val\.txt not found"):
        VOC.find(lay(voc, benchmark__tgz=files))


def test_an_image_given_twice(lay, voc, photo) -> None:
    with pytest.raises(InputError, match="are two files for one image"):
        VOC.find(lay(voc | {"copy/VOC2012/JPEGImages/2007_000001.jpg": photo}))
