import numpy as np
import pytest

from classaware.data.sources import IGNORED, SOURCES
from classaware.errors import InputError

TEN, ALL = SOURCES["coco-stuff-10k"], SOURCES["coco-stuff-164k"]
A, B = "COCO_train2014_000000000077", "COCO_train2014_000000000081"
# unlabeled, person, fire hydrant, stop sign, hat (never drawn), wood
NUMBERS = np.array([[0, 1, 11], [13, 26, 182]])
CLASSES = [[IGNORED, 0, 10], [11, IGNORED, 170]]
NAMES = np.array([f"class {k}" for k in range(182)], dtype=object)


@pytest.fixture
def ten(photo):
    files = {f"images/{name}.jpg": photo for name in (A, B)}
    files |= {f"annotations/{name}.mat": {"S": NUMBERS, "names": NAMES, "captions": "words"} for name in (A, B)}
    return files | {"imageLists/train.txt": f"{A}\n", "imageLists/test.txt": B, "imageLists/all.txt": f"{A}\n{B}\n"}


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_10k_mat_files(lay, ten, read, kind) -> None:
    for name in (A, B):
        ten[f"annotations/{name}.mat"]["S"] = NUMBERS.astype(kind)
    layout = TEN.find(lay(**{"cocostuff-10k-v1.1__zip": ten}))
    assert layout.form == "MATLAB label maps"
    assert read(TEN, layout) == {("train", A): CLASSES, ("test", B): CLASSES}


def test_10k_version_1_0_is_refused(lay, ten) -> None:
    ten[f"annotations/{A}.mat"]["names"] = NAMES[:172]
    layout = TEN.find(lay(ten))
    with pytest.raises(InputError, match=rf"{A}\.mat is of version 1\.0"):
        TEN.label(layout.originals[0])


def test_10k_ready_masks(lay, photo, read) -> None:
    files = {f"images/{name}.jpg": photo for name in "ab"} | {"train.txt": "a\n", "test.txt": "b\n"}
    files |= {f"labels/{name}.png": np.array([[0, 170, 255]], dtype=np.uint8) for name in "ab"}
    layout = TEN.find(lay(files))
    assert layout.form == "ready PNG masks"
    assert read(TEN, layout) == {("train", "a"): [[0, 170, IGNORED]], ("test", "b"): [[0, 170, IGNORED]]}


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("imageLists/test.txt", "imageLists/test.txt"),
        (f"images/{B}", f"1 of the 1 images of split test, first {B},"),
        (f"annotations/{A}", f"1 of the 1 labels of split train, first {A},"),
        ("annotations", "annotations/X.mat"),
    ],
)
def test_10k_incomplete_downloads(lay, ten, gone, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TEN.find(lay({path: value for path, value in ten.items() if gone not in path}))
    assert "cocostuff-10k-v1.1.zip" in str(caught.value)


def test_10k_number_beyond_182(lay, ten) -> None:
    ten[f"annotations/{A}.mat"]["S"] = NUMBERS + 1
    with pytest.raises(InputError, match="holds the value 183"):
        TEN.label(TEN.find(lay(ten)).originals[0])


def test_10k_class_beyond_170(lay, photo) -> None:
    files = {"images/a.jpg": photo, "train.txt": "a", "test.txt": "a", "labels/a.png": np.full((1, 2), 171, np.uint8)}
    with pytest.raises(InputError, match="holds the value 171"):
        TEN.label(TEN.find(lay(files)).originals[0])


@pytest.fixture
def three(photo):
    """The three zips."""
    pixels = np.array([[0, 10, 12], [25, 181, 255]], dtype=np.uint8)
    maps = {f"{split}2017/{name}.png": pixels for split, name in (("train", "000000000009"), ("val", "000000000139"))}
    return {
        "train2017__zip": {"train2017/000000000009.jpg": photo},
        "val2017__zip": {"val2017/000000000139.jpg": photo},
        "stuffthingmaps_trainval2017__zip": maps,
    }


def test_164k_three_zips(lay, three, read) -> None:
    layout = ALL.find(lay(**three))
    expected = [[0, 10, 11], [IGNORED, 170, IGNORED]]
    assert read(ALL, layout) == {("train", "000000000009"): expected, ("val", "000000000139"): expected}


@pytest.mark.parametrize("gone", ["train2017__zip", "val2017__zip", "stuffthingmaps_trainval2017__zip"])
def test_164k_a_zip_is_missing(lay, three, gone) -> None:
    del three[gone]
    with pytest.raises(InputError, match=rf"\({gone.replace('__', '.')}\) not found"):
        ALL.find(lay(**three))


def test_164k_an_image_without_labels(lay, three, photo) -> None:
    three["train2017__zip"]["train2017/000000000025.jpg"] = photo
    with pytest.raises(InputError, match="1 of the 2 labels of split train, first 000000000025,"):
        ALL.find(lay(**three))


def test_164k_every_pixel_value(lay, three, read) -> None:
    pixels = np.arange(182, dtype=np.uint8).reshape(13, 14)
    three["stuffthingmaps_trainval2017__zip"]["train2017/000000000009.png"] = pixels
    found = np.array(read(ALL, ALL.find(lay(**three)))["train", "000000000009"]).ravel().tolist()
    assert [value for value in found if value != IGNORED] == list(range(171))
    assert [value + 1 for value in range(182) if found[value] == IGNORED] == [
        12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91
    ]  # fmt: skip


def test_164k_a_value_between(lay, three) -> None:
    three["stuffthingmaps_trainval2017__zip"]["train2017/000000000009.png"] = np.full((2, 2), 182, np.uint8)
    with pytest.raises(InputError, match="holds the value 182"):
        ALL.label(ALL.find(lay(**three)).originals[0])
