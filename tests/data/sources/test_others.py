"""Cityscapes, ADE20K, CamVid, MSRC-21 and folders."""

import numpy as np
import pytest

from classaware.data.sources import IGNORED, SOURCES
from classaware.errors import InputError

CITY, ADE, CAMVID, MSRC, FOLDER = (SOURCES[name] for name in ("cityscapes", "ade20k", "camvid", "msrc21", "folder"))


def values(*rows: list[int]) -> np.ndarray:
    return np.array(rows, dtype=np.uint8)


def city_images(photo, *names: str) -> dict:
    return {f"leftImg8bit/{name}_leftImg8bit.png": photo for name in names}


def city_labels(kind: str, label: np.ndarray, *names: str) -> dict:
    return {f"gtFine/{name}_gtFine_{kind}.png": label for name in names}


TRAIN, VAL, TEST = "train/aachen/aachen_000000_000019", "val/ulm/ulm_000001_000019", "test/bonn/bonn_000002_000019"


def test_cityscapes_label_ids(lay, photo, read) -> None:
    images = city_images(photo, TRAIN, VAL, TEST)
    labels = city_labels("labelIds", values([0, 7, 33], [6, 24, 255]), TRAIN, VAL, TEST)
    labels |= city_labels("labelTrainIds", values([9]), TRAIN, VAL)
    labels |= city_labels("color", photo, TRAIN, VAL, TEST)
    layout = CITY.find(lay(leftImg8bit_trainvaltest__zip=images, gtFine_trainvaltest__zip=labels))
    expected = [[IGNORED, 0, 18], [IGNORED, 11, IGNORED]]
    assert layout.form == "gtFine labelIds"
    assert read(CITY, layout) == {
        ("train", "aachen_000000_000019"): expected,
        ("val", "ulm_000001_000019"): expected,
    }


def test_cityscapes_every_number(lay, photo, read) -> None:
    label = np.arange(34, dtype=np.uint8)[None]
    tree = lay(city_images(photo, TRAIN, VAL) | city_labels("labelIds", label, TRAIN, VAL))
    found = read(CITY, CITY.find(tree))["val", "ulm_000001_000019"][0]
    used = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert found == [used.index(number) if number in used else IGNORED for number in range(34)]


def test_cityscapes_train_ids_alone(lay, photo, read) -> None:
    tree = lay(city_images(photo, TRAIN, VAL) | city_labels("labelTrainIds", values([0, 18, 255]), TRAIN, VAL))
    assert read(CITY, CITY.find(tree))["train", "aachen_000000_000019"] == [[0, 18, IGNORED]]


@pytest.mark.parametrize(("kind", "value"), [("labelIds", 34), ("labelTrainIds", 19)])
def test_cityscapes_values_beyond(lay, photo, kind, value) -> None:
    layout = CITY.find(lay(city_images(photo, TRAIN, VAL) | city_labels(kind, values([value]), TRAIN, VAL)))
    with pytest.raises(InputError, match=f"holds the value {value}"):
        CITY.label(layout.originals[0])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ((), (TRAIN, VAL), "leftImg8bit/train/CITY/X_leftImg8bit.png"),
        ((TRAIN, VAL), (), "gtFine/train/CITY/X_gtFine_labelIds.png"),
        ((TRAIN,), (TRAIN, VAL), "leftImg8bit/val/"),
        ((TRAIN, VAL, "train/jena/jena_000000_000019"), (TRAIN, VAL), "1 of the 2 labels of split train, first jena_0"),
    ],
)
def test_cityscapes_incomplete(lay, photo, images, labels, message) -> None:
    with pytest.raises(InputError, match=message):
        CITY.find(lay(city_images(photo, *images) | city_labels("labelIds", values([7]), *labels)))


@pytest.fixture
def ade(photo):
    files = {}
    for folder, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        files[f"ADEChallengeData2016/images/{folder}/{name}.jpg"] = photo
        files[f"ADEChallengeData2016/annotations/{folder}/{name}.png"] = values([0, 1, 150])
    return files


def test_ade20k(lay, ade, read) -> None:
    layout = ADE.find(lay(ADEChallengeData2016__zip=ade))
    assert read(ADE, layout) == {
        ("train", "ADE_train_00000001"): [[IGNORED, 0, 149]],
        ("val", "ADE_val_00000001"): [[IGNORED, 0, 149]],
    }


@pytest.mark.parametrize("gone", ["images/training", "images/validation", "annotations/training"])
def test_ade20k_incomplete(lay, ade, gone) -> None:
    with pytest.raises(InputError, match=f"{gone}/X.* not found"):
        ADE.find(lay({path: value for path, value in ade.items() if gone not in path}))


def test_ade20k_value_beyond(lay, ade) -> None:
    ade["ADEChallengeData2016/annotations/training/ADE_train_00000001.png"] = values([151])
    with pytest.raises(InputError, match="holds the value 151"):
        ADE.label(ADE.find(lay(ade)).originals[0])


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_camvid(lay, photo, read, ending) -> None:
    files = {f"CamVid/{split}/{split}_1.{ending}": photo for split in ("train", "val", "test")}
    files |= {f"CamVid/{split}annot/{split}_1.png": values([0, 10, 11]) for split in ("train", "val", "test")}
    layout = CAMVID.find(lay(files))
    assert read(CAMVID, layout) == {(s, f"{s}_1"): [[0, 10, IGNORED]] for s in ("train", "val", "test")}


@pytest.mark.parametrize("gone", ["val/", "testannot/"])
def test_camvid_incomplete(lay, photo, gone) -> None:
    files = {f"{split}/x.png": photo for split in ("train", "val", "test")}
    files |= {f"{split}annot/x.png": values([0]) for split in ("train", "val", "test")}
    with pytest.raises(InputError, match=f"{gone}X.png not found"):
        CAMVID.find(lay({path: value for path, value in files.items() if not path.startswith(gone)}))


def test_camvid_with_all_32_classes(lay, photo) -> None:
    files = {f"{split}/x.png": photo for split in ("train", "val", "test")}
    files |= {f"{split}annot/x.png": values([12]) for split in ("train", "val", "test")}
    with pytest.raises(InputError, match="holds the value 12"):
        CAMVID.label(CAMVID.find(lay(files)).originals[0])


@pytest.fixture
def msrc(photo):
    label = np.array([[(128, 0, 0), (192, 64, 0), (0, 128, 0)], [(0, 0, 0), (128, 0, 128), (64, 0, 0)]], np.uint8)
    root = "MSRC_ObjCategImageDatabase_v2/"
    files = {f"{root}Images/{k}_s.bmp": photo for k in (1, 2, 3)}
    return files | {f"{root}GroundTruth/{k}_s_GT.bmp": label for k in (1, 2, 3)}


LISTS = {"Train.txt": "1_s.bmp\r\n", "Validation.txt": "2_s.bmp\r\n", "Test.txt": "3_s.bmp\r\n"}


def test_msrc21(lay, msrc, read) -> None:
    layout = MSRC.find(lay(database__zip=msrc, TextonBoostSplits__zip=LISTS))
    expected = [[0, 20, 1], [IGNORED] * 3]
    assert read(MSRC, layout) == {("train", "1_s"): expected, ("val", "2_s"): expected, ("test", "3_s"): expected}


def test_msrc21_without_lists(lay, msrc) -> None:
    with pytest.raises(InputError, match=r"Validation\.txt \(TextonBoostSplits\.zip\), not found"):
        MSRC.find(lay(msrc | {"Train.txt": "1_s.bmp", "Test.txt": "3_s.bmp"}))


def test_msrc21_another_color(lay, msrc) -> None:
    msrc["MSRC_ObjCategImageDatabase_v2/GroundTruth/1_s_GT.bmp"] = np.full((2, 2, 3), 77, dtype=np.uint8)
    with pytest.raises(InputError, match=r"1_s_GT\.bmp holds the color \(77, 77, 77\) \(4 such"):
        MSRC.label(MSRC.find(lay(msrc | LISTS)).originals[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "names no image"),
        (b"1_s.bmp\n1_s.bmp", "names 1_s more than once"),
        (b"\xff\xfe1", "is no UTF-8 text"),
        (b"9_s.bmp", "first 9_s,"),
    ],
)
def test_damaged_lists(lay, msrc, text, message) -> None:
    with pytest.raises(InputError, match=message):
        MSRC.find(lay(msrc | LISTS | {"Train.txt": text}))


@pytest.fixture
def folder(photo):
    files = {"mine/images/train/a b.jpg": photo, "mine/images/val/c.png": photo, "mine/classes.txt": "sky\ntree\n"}
    return files | {"mine/masks/train/a b.png": values([0, 1, 255]), "mine/masks/val/c.png": values([1])}


@pytest.mark.parametrize("packed", [False, True])
def test_folder(lay, folder, read, packed) -> None:
    layout = FOLDER.find(lay(mine__zip=folder) if packed else lay(folder))
    assert layout.class_names == ("sky", "tree")
    assert layout.palette == ((0, 0, 0), (128, 0, 0))
    assert read(FOLDER, layout) == {("train", "a_20b"): [[0, 1, IGNORED]], ("val", "c"): [[1]]}


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("classes.txt", "classes.txt not found"),
        ("images", "images/SPLIT/X.jpg not found"),
        ("masks/val/c", "1 of the 1 labels of split val, first c,"),
    ],
)
def test_folder_incomplete(lay, folder, gone, message) -> None:
    with pytest.raises(InputError, match=message):
        FOLDER.find(lay({path: value for path, value in folder.items() if gone not in path}))


@pytest.mark.parametrize("text", [b"", b"sky\n\ntree", b"sky\nsky", b"\xff", "\n".join(map(str, range(256)))])
def test_folder_with_other_class_names(lay, folder, text) -> None:
    with pytest.raises(InputError, match=r"class list .*classes\.txt must"):
        FOLDER.find(lay(folder | {"mine/classes.txt": text}))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (values([2]), "holds the value 2"),
        (np.zeros((2, 2, 3), dtype=np.uint8), r"is a color picture \(RGB\)"),
        (b"\x89PNG", "cannot be read as an image"),
    ],
)
def test_folder_with_other_masks(lay, folder, mask, message) -> None:
    layout = FOLDER.find(lay(folder | {"mine/masks/val/c.png": mask}))
    with pytest.raises(InputError, match=message):
        FOLDER.label(layout.originals[1])
