"""The tables of names, numbers and colors against what the publishers say of them."""

import pickle
import re

import pytest

from classaware.data.camvid import CamVid
from classaware.data.sources import SOURCES, coco_stuff
from classaware.data.sources.cityscapes import _CLASSES as CITYSCAPES
from classaware.data.sources.pascal_context import _NUMBERS as CONTEXT

CLASSES = {
    "pascal-context": 59,
    "pascal-context-60": 60,
    "coco-stuff-10k": 171,
    "coco-stuff-164k": 171,
    "cityscapes": 19,
    "ade20k": 150,
    "voc2012": 21,
    "camvid": 11,
    "msrc21": 21,
    "folder": 0,
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_complete(name: str) -> None:
    source = SOURCES[name]
    assert source.name == name
    assert len(source.class_names) == len(set(source.class_names)) == len(source.palette) == CLASSES[name]
    assert all(text == text.strip() and text for text in source.class_names)
    assert all(len(color) == 3 and all(0 <= channel <= 255 for channel in color) for color in source.palette)
    if name not in ("ade20k", "folder"):  # the challenge's own colors give two classes one color
        assert len(set(source.palette)) == CLASSES[name]
    assert source.title
    assert source.download.endswith(".")
    assert source.license
    assert source.reference


@pytest.mark.parametrize("name", SOURCES)
def test_sources_can_be_sent_to_other_processes(name: str) -> None:
    copy = pickle.loads(pickle.dumps(SOURCES[name]))
    assert (copy.name, copy.class_names) == (name, SOURCES[name].class_names)


def test_sources_are_those_of_the_table() -> None:
    assert set(SOURCES) == set(CLASSES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pascal-context", {"train": 4998, "val": 5105}),
        ("pascal-context-60", {"train": 4998, "val": 5105}),
        ("coco-stuff-10k", {"train": 9000, "test": 1000}),
        ("coco-stuff-164k", {"train": 118287, "val": 5000}),
        ("cityscapes", {"train": 2975, "val": 500}),
        ("ade20k", {"train": 20210, "val": 2000}),
        ("voc2012", {"train": 1464, "val": 1449}),
        ("camvid", {"train": 367, "val": 101, "test": 233}),
        ("msrc21", {"train": 276, "val": 59, "test": 256}),
    ],
)
def test_published_counts(name: str, expected: dict[str, int]) -> None:
    assert SOURCES[name].expected == expected


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("pascal-context", ["VOCtrainval_03-May-2010.tar", "trainval.tar.gz", "trainval_merged.json"]),
        ("coco-stuff-10k", ["cocostuff-10k-v1.1.zip"]),
        ("coco-stuff-164k", ["train2017.zip", "val2017.zip", "stuffthingmaps_trainval2017.zip"]),
        ("cityscapes", ["leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"]),
        ("ade20k", ["ADEChallengeData2016.zip"]),
        ("voc2012", ["VOCtrainval_11-May-2012.tar", "benchmark.tgz", "SegmentationClassAug"]),
        ("camvid", ["CamVid", "trainannot"]),
        ("msrc21", ["MSRC_ObjCategImageDatabase_v2.zip", "TextonBoostSplits.zip"]),
    ],
)
def test_the_download_text_names_every_file_and_where_to_find_it(name: str, files: list[str]) -> None:
    text = SOURCES[name].download
    assert all(file in text for file in files)
    assert re.search(r"https?://|Microsoft Research", text)


def test_coco_stuff_has_the_numbers_1_to_182_but_for_11() -> None:
    assert len(coco_stuff.UNUSED) == 11
    assert len(coco_stuff.NUMBERS) == 171 == 182 - 11
    assert list(coco_stuff.NUMBERS) == sorted(set(range(1, 183)) - coco_stuff.UNUSED)
    assert set(coco_stuff.CLASS_OF_NUMBER) == set(range(183))


@pytest.mark.parametrize(
    ("number", "index", "name"),
    [
        (1, 0, "person"),
        (11, 10, "fire hydrant"),
        (13, 11, "stop sign"),
        (25, 23, "giraffe"),
        (27, 24, "backpack"),
        (44, 39, "bottle"),
        (67, 60, "dining table"),
        (90, 79, "toothbrush"),
        (92, 80, "banner"),
        (149, 137, "road"),
        (169, 157, "tree"),
        (182, 170, "wood"),
    ],
)
def test_coco_stuff_numbers(number: int, index: int, name: str) -> None:
    assert coco_stuff.CLASS_OF_NUMBER[number] == index
    assert coco_stuff.CLASS_NAMES[index] == name


def test_coco_stuff_stuff_follows_the_alphabet() -> None:
    stuff = coco_stuff.CLASS_NAMES[80:]
    assert len(stuff) == 91
    assert list(stuff) == sorted(stuff)


def test_pascal_context_numbers_follow_the_alphabet_as_the_459_do() -> None:
    # The 459 classes are numbered in the order of the alphabet, so that names and numbers sort alike.
    assert [CONTEXT[name] for name in sorted(CONTEXT)] == sorted(CONTEXT.values())
    assert len(set(CONTEXT.values())) == 59
    assert min(CONTEXT.values()) == 2
    assert max(CONTEXT.values()) == 458


def test_pascal_context_begins_with_the_classes_of_voc() -> None:
    voc, context = SOURCES["voc2012"], SOURCES["pascal-context-60"]
    assert [name.replace("diningtable", "table") for name in voc.class_names] == list(context.class_names[:21])
    assert context.palette[:21] == voc.palette
    assert SOURCES["pascal-context"].class_names == context.class_names[1:]
    assert SOURCES["pascal-context"].palette == context.palette[1:]


def test_cityscapes_numbers_and_colors() -> None:
    assert next(iter(CITYSCAPES)) == "road"
    assert list(CITYSCAPES)[18] == "bicycle"
    numbers = [number for number, _ in CITYSCAPES.values()]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[11], numbers[18]) == (7, 24, 33)
    assert SOURCES["cityscapes"].palette[13] == (0, 0, 142)


def test_ade20k_names_and_colors() -> None:
    ade = SOURCES["ade20k"]
    for number, name in ((1, "wall"), (2, "building"), (13, "person"), (45, "chest of drawers"), (150, "flag")):
        assert ade.class_names[number - 1] == name
    assert ade.palette[0] == (120, 120, 120)
    assert ade.palette[3] == (80, 50, 50)
    assert ade.palette[149] == (92, 0, 255)


def test_camvid_is_that_of_the_data_set_class() -> None:
    assert SOURCES["camvid"].class_names == CamVid.class_names
    assert SOURCES["camvid"].palette == CamVid.palette


def test_voc_colors() -> None:
    voc = SOURCES["voc2012"]
    assert voc.palette[0] == (0, 0, 0)
    assert voc.palette[1] == (128, 0, 0)
    assert voc.palette[20] == (0, 64, 128)
