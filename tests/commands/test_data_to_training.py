"""Every published layout from its original files through ``data prepare``, ``data check`` and a training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_files import Files, content, pack

SIZE = (24, 32)
RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def label(*values: int, kind: type = np.uint8) -> np.ndarray:
    """Vertical stripes of these values."""
    return np.repeat(np.array(values, kind)[None, np.arange(SIZE[1]) * len(values) // SIZE[1]], SIZE[0], 0)


def photos(pattern: str, *names: str) -> Files:
    """A picture of its own for every name: equal files in two splits would be refused."""
    return {pattern.format(name): np.roll(PHOTO, i + 1, 0) for i, name in enumerate(names)}


def lists(pattern: str, **splits: str) -> Files:
    return {pattern.format(split): names + "\n" for split, names in splits.items()}


def context_mat() -> dict[str, Files]:
    files = photos("VOCdevkit/VOC2010/JPEGImages/{}.jpg", "2008_000001", "2008_000002")
    files |= lists("VOCdevkit/VOC2010/ImageSets/Main/{}.txt", train="2008_000001", val="2008_000002")
    maps = {f"trainval/2008_00000{i}.mat": {"LabelMap": label(2, 284, 1, kind=np.uint16)} for i in (1, 2)}
    return {"VOCtrainval_03-May-2010.tar": files, "trainval.tar.gz": maps}


def context_json() -> dict[str, Files]:
    images = [
        {"image_id": i, "file_name": f"2008_00000{i}.jpg", "phase": phase, "height": SIZE[0], "width": SIZE[1]}
        for i, phase in ((1, "train"), (2, "val"))
    ]
    counts = [0, SIZE[0] * 16, SIZE[0] * 16]  # the left half, column by column
    regions = [
        {"image_id": i, "category_id": number, "segmentation": {"size": list(SIZE), "counts": runs}}
        for i in (1, 2)
        for number, runs in ((2, counts), (284, [SIZE[0] * 16, SIZE[0] * 16]))
    ]
    files = photos("JPEGImages/{}.jpg", "2008_000001", "2008_000002")
    return {"": files | {"trainval_merged.json": {"images": images, "annos_segmentation": regions}}}


def context_png() -> dict[str, Files]:
    masks = {f"labels/{name}.png": label(0, 1, 59) for name in ("a", "b")}
    return {"": photos("images/{}.jpg", "a", "b") | masks | lists("{}.txt", train="a", val="b")}


def stuff_mat() -> dict[str, Files]:
    maps = {f"annotations/{name}.mat": {"S": label(1, 182, 0, 92)} for name in ("a", "b")}
    return {
        "cocostuff-10k-v1.1.zip": photos("images/{}.jpg", "a", "b")
        | maps
        | lists("imageLists/{}.txt", train="a", test="b")
    }


def stuff_png() -> dict[str, Files]:
    masks = {f"labels/{name}.png": label(0, 170, 255) for name in ("a", "b")}
    return {"": photos("images/{}.jpg", "a", "b") | masks | lists("{}.txt", train="a", test="b")}


def stuff_164k() -> dict[str, Files]:
    every = photos("{}.jpg", "train2017/000001", "val2017/000002")
    maps = {f"{name.removesuffix('.jpg')}.png": label(0, 181, 255) for name in every}
    zips = {
        f"{split}.zip": {k: v for k, v in every.items() if k.startswith(split)} for split in ("train2017", "val2017")
    }
    return zips | {"stuffthingmaps_trainval2017.zip": maps}


def cityscapes() -> dict[str, Files]:
    names = "train/aachen/aachen_000000_000019", "val/ulm/ulm_000000_000019"
    masks = {f"gtFine/{name}_gtFine_labelIds.png": label(7, 33, 0) for name in names}
    return {
        "leftImg8bit_trainvaltest.zip": photos("leftImg8bit/{}_leftImg8bit.png", *names),
        "gtFine_trainvaltest.zip": masks,
    }


def ade20k() -> dict[str, Files]:
    names = "training/ADE_train_00000001", "validation/ADE_val_00000001"
    masks = {f"ADEChallengeData2016/annotations/{name}.png": label(0, 1, 150) for name in names}
    return {"ADEChallengeData2016.zip": photos("ADEChallengeData2016/images/{}.jpg", *names) | masks}


def voc2012(root: str = "VOCdevkit/VOC2012") -> dict[str, Files]:
    mask = Image.fromarray(label(0, 15, 255))
    mask.putpalette([k % 256 for k in range(768)])
    files = photos(f"{root}/JPEGImages/{{}}.jpg", "2007_000001", "2007_000002", "2008_000009")
    files |= {f"{root}/SegmentationClass/2007_00000{i}.png": mask for i in (1, 2)}
    files |= lists(f"{root}/ImageSets/Segmentation/{{}}.txt", train="2007_000001", val="2007_000002")
    return {"VOCtrainval_11-May-2012.tar": files}


def voc2012_with_sbd() -> dict[str, Files]:
    boundaries: Files = {
        f"benchmark_RELEASE/dataset/cls/{name}.mat": {"GTcls": {"Segmentation": label(0, 15, 20)}}
        for name in ("2008_000009", "2007_000002")
    }
    boundaries |= lists("benchmark_RELEASE/dataset/{}.txt", train="2008_000009", val="2007_000002")
    return voc2012() | {"benchmark.tgz": boundaries}


def camvid() -> dict[str, Files]:
    names = "train/0001TP_1", "val/0016E5_2", "test/Seq05VD_3"
    masks = {f"CamVid/{name.replace('/', 'annot/')}.png": label(0, 3, 11) for name in names}
    return {"": photos("CamVid/{}.png", *names) | masks}


def msrc21() -> dict[str, Files]:
    names = "1_1_s", "1_2_s", "1_3_s"
    mask = np.zeros((*SIZE, 3), np.uint8)
    mask[:, 8:16], mask[:, 16:] = (128, 0, 0), (0, 128, 0)  # void, building, grass
    root = "MSRC_ObjCategImageDatabase_v2"
    files = photos(f"{root}/Images/{{}}.bmp", *names) | {f"{root}/GroundTruth/{name}_GT.bmp": mask for name in names}
    texts = lists("{}.txt", Train="1_1_s.bmp", Validation="1_2_s.bmp", Test="1_3_s.bmp")
    return {"msrc_objcategimagedatabase_v2.zip": files, "": texts}


def folder() -> dict[str, Files]:
    names = "train/a", "val/b"
    masks = {f"mine/masks/{name}.png": label(0, 1, 255) for name in names}
    return {"mine.zip": photos("mine/images/{}.jpg", *names) | masks | {"mine/classes.txt": "sea\nsky\n"}}


Make = Callable[[], dict[str, Files]]
LAYOUTS: list[tuple[str, Make, int, set[int]]] = [
    ("pascal-context", context_mat, 59, {0, 14, 255}),
    ("pascal-context-60", context_mat, 60, {0, 1, 15}),
    ("pascal-context", context_json, 59, {0, 14}),
    ("pascal-context", context_png, 59, {0, 58, 255}),
    ("coco-stuff-10k", stuff_mat, 171, {0, 80, 170, 255}),
    ("coco-stuff-10k", stuff_png, 171, {0, 170, 255}),
    ("coco-stuff-164k", stuff_164k, 171, {0, 170, 255}),
    ("cityscapes", cityscapes, 19, {0, 18, 255}),
    ("ade20k", ade20k, 150, {0, 149, 255}),
    ("voc2012", voc2012, 21, {0, 15, 255}),
    ("voc2012", voc2012_with_sbd, 21, {0, 15, 20, 255}),
    ("camvid", camvid, 11, {0, 3, 255}),
    ("msrc21", msrc21, 21, {0, 1, 255}),
    ("folder", folder, 2, {0, 1, 255}),
]


@pytest.mark.parametrize(
    ("name", "make", "classes", "values"), LAYOUTS, ids=[f"{n}-{m.__name__}" for n, m, *_ in LAYOUTS]
)
def test_from_the_originals_to_a_trained_network(
    name: str, make: Make, classes: int, values: set[int], command: Callable[..., Any], tmp_path: Path
) -> None:
    downloads, data, run = tmp_path / "downloads", tmp_path / "data", tmp_path / "run"
    downloads.mkdir()
    for archive, files in make().items():
        if archive:
            pack(downloads / archive, files)
        for path, value in {} if archive else files.items():
            (downloads / path).parent.mkdir(parents=True, exist_ok=True)
            (downloads / path).write_bytes(content(path, value))

    prepared = command("data", "prepare", name, "--source", downloads, "--out", data, "--workers", 1)
    assert prepared.status == 0, prepared.err
    manifest = json.loads((data / "manifest.json").read_text())
    assert manifest["name"] == name
    assert len(manifest["class_names"]) == classes
    masks = [np.array(Image.open(path)) for path in sorted(data.glob("masks/*/*.png"))]
    assert {int(value) for mask in masks for value in np.unique(mask)} == values
    assert sum(manifest["splits"].values()) == len(masks)

    checked = command("data", "check", data, "--json", tmp_path / "check.json")
    assert checked.status == 0, checked.out
    report = json.loads((tmp_path / "check.json").read_text())
    assert report["errors"] == 0
    assert {split["split"]: split["images"] for split in report["splits"]} == manifest["splits"]

    options = {
        "data.dataset": "FolderDataset",
        "data.dataset.root": data,
        "data.val_split": "test" if "val" not in manifest["splits"] else "val",
        "data.batch_size": 2,
        "data.crop_size": "[33,33]",
        "data.num_workers": 0,
        "network.backbone.name": "test_resnet",
        "network.head": "FCNHead",
        "network.head.channels": 8,
        "network.car": "on",
        "trainer.max_steps": 1,
        "trainer.accelerator": "cpu",
        "output": run,
    }
    trained = command("fit", *(part for key, value in options.items() for part in (f"--{key}", value)))
    assert trained.status == 0, trained.err
    assert (run / "last.ckpt").is_file()
