"""A data set of three classes for the tests of ``prepare``, importable by worker processes."""

import os
import time
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classaware.data.preparation.archives import Tree
from classaware.data.sources.base import Layout, Original, Source
from classaware.errors import InputError


class Tiny(Source):
    """Images in pictures/SPLIT/X.*, labels of the same name in gray/SPLIT, whose value 3 is no class."""

    name = "tiny"
    title = "Tiny"
    class_names = ("sky", "road", "car")
    palette = ((10, 20, 30), (128, 64, 128), (0, 0, 142))
    expected: ClassVar[dict[str, int]] = {"train": 12, "val": 6}
    download = "tiny.zip, from nobody"
    license = "any"
    reference = "none"

    def __init__(self, form: str = "gray") -> None:
        self.form = form

    def find(self, tree: Tree) -> Layout:
        labels = {match[1]: entry for entry, match in tree.find(r"gray/([^/]+/[^/]+)\.png")}
        originals = [
            Original(match[1], match[2], entry, labels.get(f"{match[1]}/{match[2]}"))
            for entry, match in tree.find(r"pictures/([^/]+)/([^/]+)\.\w+")
        ]
        return Layout(self.form, originals)

    def label(self, original: Original) -> NDArray[np.uint8]:
        time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
        if original.name == "deadly":
            os._exit(9)  # as if killed for want of memory
        if original.label is None:
            raise InputError(f"{original.name} has no label.")
        values = np.array(Image.open(BytesIO(original.label.read())))
        return np.where(values == 3, 255, values).astype(np.uint8)


def make_originals(root: Path, train: int = 12, val: int = 6) -> Path:
    """JPEG, PNG and BMP images of 10x14 to 10x19, and labels of 0 to 3."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("pictures", "gray"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            shape = (10, 14 + i % 6)
            image = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
            image.save(root / "pictures" / split / f"i{i}.{('jpg', 'png', 'bmp', 'jpeg')[i % 4]}")
            Image.fromarray(rng.integers(0, 4, shape, dtype=np.uint8)).save(root / "gray" / split / f"i{i}.png")
    return root
