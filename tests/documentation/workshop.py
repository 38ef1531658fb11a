"""Small things for everything that the pages' commands name: data, photographs, networks, records, archives."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_files import pack

from classaware.commands.main import main
from classaware.data import BiasedScenes

SPLITS = {"train": 24, "val": 2, "test": 10, "seen": 2, "unseen": 2}
MY_CODE = """
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.decode_head = nn.Module()
        self.decode_head.classifier = nn.Conv2d(8, 12, 1)

    def forward(self, images):
        return self.decode_head.classifier(self.body(images))


def make_network():
    return Network()
"""

STUDY = """
fit:
  - --network.backbone.name=test_resnet
  - --network.backbone.pretrained=no
  - --network.backbone.output_stride=32
  - --network.head.channels=16
  - --data.dataset.root=my-data
  - --data.crop_size=[48,48]
  - --data.batch_size=2
  - --data.num_workers=0
  - --trainer.max_steps=1
  - --trainer.accelerator=cpu
datasets:
  mine: {fit: [lite0-self-attention, --data.dataset=FolderDataset], splits: [val]}
variants:
  baseline: []
  released: [car]
seeds: [0]
"""


def build(root: Path) -> None:
    """Lay everything into a folder."""
    scenes(root / "my-data")
    scenes(root / "data" / "pascal-context")
    (root / "data" / "msrc21").symlink_to(root / "my-data")
    camvid(root / "data" / "camvid")
    archives(root / "downloads")
    photos = sorted((root / "my-data" / "images" / "test").glob("*.png"))
    (root / "folder").mkdir()
    for name in ("photo.jpg", "photo.png", "folder/1.jpg", "folder/2.jpg"):
        Image.open(photos[0]).resize((160, 128)).save(root / name)
    label = Image.open(photos[0].parents[2] / "masks" / "test" / photos[0].name)
    colored = np.zeros((*np.array(label).shape, 3), np.uint8)
    colored[4:] = (128, 64, 128)
    Image.fromarray(colored).save(root / "colored.png")
    (root / "my_code.py").write_text(MY_CODE)
    (root / "study.yaml").write_text(STUDY)
    networks(root)


def scenes(folder: Path) -> None:
    """Biased scenes as a folder of images and masks: 12 classes, things on contexts, a cow among them."""
    source = BiasedScenes(folder.parent / ".cache", size=48, train=24, val=2, test=14, cue=255)
    at = {"seen": 0, "unseen": 0}
    for split, number in SPLITS.items():
        drawn = {"test": "seen"}.get(split, split)
        first = at.get(drawn, 0)
        at[drawn] = first + number
        for sample in source.samples(drawn)[first : first + number]:
            label = source.read_label(sample)
            for kind in ("images", "masks"):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
            Image.open(sample.image).convert("RGB").save(folder / "images" / split / f"{split}-{sample.name}.png")
            Image.fromarray(label.astype(np.uint8)).save(folder / "masks" / split / f"{split}-{sample.name}.png")
    (folder / "classes.txt").write_text("\n".join(source.class_names) + "\n")


def camvid(folder: Path) -> None:
    """Two frames a split in CamVid's layout."""
    random = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for kind, shape in (("", (48, 64, 3)), ("annot", (48, 64))):
            (folder / f"{split}{kind}").mkdir(parents=True)
            for i in range(2):
                values = random.integers(0, 256 if kind == "" else 12, shape, dtype=np.uint8)
                Image.fromarray(values).save(folder / f"{split}{kind}" / f"{i}.png")


def archives(folder: Path) -> None:
    """Pascal Context as its publishers give it."""
    folder.mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    label = np.tile(np.array([2, 284, 1, 2], np.uint16).repeat(8), (24, 1))
    voc, names = "VOCdevkit/VOC2010", {"train": "2008_000001", "val": "2008_000002"}
    pictures = {f"{voc}/JPEGImages/{name}.jpg": np.roll(photo, i, 0) for i, name in enumerate(names.values())}
    lists = {f"{voc}/ImageSets/Main/{split}.txt": f"{name}\n" for split, name in names.items()}
    pack(folder / "VOCtrainval_03-May-2010.tar", pictures | lists)
    pack(folder / "trainval.tar.gz", {f"trainval/{name}.mat": {"LabelMap": label} for name in names.values()})


def networks(root: Path) -> None:
    """Runs of two steps and their records, with and without CAR, seeds 0 and 1, under the pages' names."""
    runs = root / "runs"
    for side, car in (("car", "on"), ("baseline", "off")):
        for seed in ("0", "1"):
            run = runs / f"{side}-{seed}"
            options = {
                "data.dataset": "FolderDataset",
                "data.dataset.root": root / "my-data",
                "data.batch_size": 4,
                "data.num_workers": 0,
                "network.backbone.name": "test_resnet",
                "network.head": "FCNHead",
                "network.head.channels": 8,
                "network.projection": "1x1",
                "network.car": car,
                "trainer.max_steps": 2,
                "trainer.val_check_interval": 2,
                "trainer.log_every_n_steps": 1,
                "trainer.accelerator": "cpu",
                "inference.pad_size": "null",
                "seed": seed,
                "output": run,
            }
            assert main(["fit", *(str(word) for name, value in options.items() for word in (f"--{name}", value))]) == 0
            record = ["--split", "test", "--json", str(run / "test.json"), "--num_workers", "0"]
            assert main(["evaluate", str(run / "last.ckpt"), *record]) == 0
            shutil.copy(run / "test.json", root / f"{side}-{seed}.json")
    for name, of in {"car": "car-0", "baseline": "baseline-0"}.items():
        shutil.copytree(runs / of, runs / name)
    for name in ("mine", "r8", "camvid-car"):
        shutil.copytree(runs / "car-0", runs / name)
    (root / "demo-0").mkdir()
    shutil.copytree(runs / "car-0", root / "demo-0" / "car")
