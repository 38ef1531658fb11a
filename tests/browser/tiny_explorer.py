"""A small world to explore: images of several sizes, two networks with other grids and channels, hostile names."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from classaware.data import FolderDataset
from classaware.evaluation import Inference
from classaware.insight.explorer import Explorer, build_explorer
from classaware.insight.subject import Subject
from classaware.models import ForeignNetwork

EVIL_CLASS = "<img src=x onerror=alert(1)>"
EVIL_END = "</script><script>alert(2)</script>"
EVIL_FILE = 'it\'s "quoted" <b>&amp; {{content}}'
EVIL_NETWORK = "net</script><!-- \u2028"
CLASSES = ("sky", "road", EVIL_CLASS, EVIL_END, "a class with a very long name that must not push anything aside")
SIZES = {"a": (48, 64), EVIL_FILE: (60, 40), "large": (300, 1030)}  # (height, width); the last is shown smaller
IGNORED = 255


class TinyNetwork(nn.Module):
    """Two convolutions with fixed random weights."""

    def __init__(self, seed: int, channels: int, stride: int, num_classes: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.features = nn.Conv2d(3, channels, 3, stride=stride, padding=1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return 8 * self.classifier(self.features(4 * images))


def make_dataset(root: Path) -> FolderDataset:
    """Three images with blocks of classes; ``sky`` and ``road`` are in all, the third class in the last alone."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind / "test").mkdir(parents=True)
    for name, (height, width) in SIZES.items():
        label = np.zeros((height, width), dtype=np.uint8)
        label[height // 2 :] = 1
        if name == "large":
            label[: height // 4, : width // 4] = 2
        label[:3] = IGNORED
        image = (label[..., None] % 7 * 30 + rng.integers(0, 90, (height, width, 3))).astype(np.uint8)
        Image.fromarray(image).save(root / "images" / "test" / f"{name}.png")
        Image.fromarray(label).save(root / "masks" / "test" / f"{name}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return FolderDataset(root)


def make_subject(name: str, seed: int = 0, channels: int = 12, stride: int = 4, num_classes: int = 5) -> Subject:
    network = ForeignNetwork(TinyNetwork(seed, channels, stride, num_classes), "features", num_classes).eval()
    return Subject(name, network, Inference(), torch.device("cpu"))


def make_subjects() -> list[Subject]:
    """The second has more channels than directions: 27 colors around a cell and a constant."""
    return [make_subject("base"), make_subject(EVIL_NETWORK, seed=1, channels=40, stride=7)]


def make_explorer(dataset: FolderDataset, subjects: list[Subject], **options: Any) -> Explorer:
    """All images; dependency maps in which every field has a value of its own, the last class being absent."""
    size = dataset.num_classes
    maps = {}
    for i, subject in enumerate(subjects):
        square = (np.arange(size * size).reshape(size, size) + 1 + i) / 100
        square[-1] = square[:, -1] = np.nan
        maps[subject.name] = square
    return build_explorer(subjects, dataset, "test", dataset.samples("test"), maps, **options)


class Content:
    """What a page holds, read without its script."""

    def __init__(self, page: bytes) -> None:
        text = page.decode()
        content = re.findall(r'<script type="application/json" id="content">(.*?)</script>', text, re.S)
        assert len(content) == 1
        self.data: dict[str, Any] = json.loads(content[0])
        self._blobs = dict(re.findall(r'<script type="text/plain" id="blob-(\d+)">([A-Za-z0-9+/=]*)</script>', text))

    def array(self, reference: dict[str, Any]) -> np.ndarray:
        data = zlib.decompress(self.file(reference))
        return np.frombuffer(data, dtype=f"<{reference['type']}").reshape(reference["shape"])

    def file(self, reference: dict[str, Any]) -> bytes:
        return base64.b64decode(self._blobs[str(reference["blob"])])

    def features(self, image: int, network: int) -> np.ndarray:
        """Dequantized, float32 (h, w, d)."""
        packed = self.data["images"][image]["views"][network]["features"]
        levels, low, step = (self.array(packed[name]) for name in ("levels", "low", "step"))
        return (low + step * levels.astype(np.float32)).reshape(*packed["grid"], len(low))
