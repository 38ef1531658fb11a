"""Scenes whose things are discs on one kind of ground, kept in memory; every class has one color."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from classaware.data import Sample, SegmentationDataset
from classaware.data.pairs import count_pairs
from classaware.evaluation.familiarity import Familiarity

GROUNDS, THINGS = (0, 1, 2), (3, 4)
COLORS = np.array([(0, 200, 0), (200, 200, 0), (0, 0, 200), (120, 60, 30), (250, 250, 250)], dtype=np.uint8)


def scene(ground: int, thing: int | None, seed: int, size: tuple[int, int] = (40, 48)) -> NDArray[np.int64]:
    """Label of one disc, or none, off the border."""
    rng = np.random.default_rng(seed)
    label = np.full(size, ground, dtype=np.int64)
    if thing is not None:
        y, x = np.ogrid[: size[0], : size[1]]
        radius = int(rng.integers(6, 9))
        row, column = (int(rng.integers(radius + 1, side - radius - 1)) for side in size)
        label[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = thing
    return label


class StagedScenes(SegmentationDataset):
    """Thing 3 is always on ground 0, thing 4 on ground 1; ground 2 is always empty. So it is in every split."""

    class_names = ("grass", "sand", "water", "cow", "<img src=x>|$camel$")
    palette = tuple((int(r), int(g), int(b)) for r, g, b in COLORS)
    splits = ("train", "test")
    things = THINGS

    def __init__(self, each: int = 6) -> None:
        kinds = [(0, 3), (1, 4), (0, None), (1, None), (2, None)]
        self.labels = {
            f"{split}-{number}-{i}": scene(*kind, seed=1000 * number + 10 * i + (split == "test"))
            for split in self.splits
            for number, kind in enumerate(kinds)
            for i in range(each)
        }

    def samples(self, split: str) -> list[Sample]:
        self.check_split(split)
        return [Sample(name, Path(name), Path(name)) for name in sorted(self.labels) if name.startswith(split)]

    def read_label(self, sample: Sample) -> NDArray[np.int64]:
        return self.labels[sample.name].copy()

    def read(self, sample: Sample) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        label = self.read_label(sample)
        image = torch.from_numpy(COLORS[label].transpose(2, 0, 1).copy())
        return tv_tensors.Image(image), tv_tensors.Mask(torch.from_numpy(label))


def familiarity_of(dataset: SegmentationDataset) -> Familiarity:
    return Familiarity(count_pairs(dataset, "train", workers=0, together="touching"))


def by_own_color(image: Tensor) -> Tensor:
    """The class with exactly the pixel's color, else water: reads nothing but the pixel itself."""
    colors = torch.from_numpy(COLORS)
    same = (image.permute(1, 2, 0)[:, :, None] == colors).all(dim=-1)
    return torch.where(same.any(dim=-1), same.int().argmax(dim=-1), torch.tensor(2))


def by_context(image: Tensor) -> Tensor:
    """A thing is what belongs on the ground that most of the image is; its own color says only that it is one."""
    own = by_own_color(image)
    ground = int(torch.bincount(own.flatten(), minlength=5)[: len(GROUNDS)].argmax())
    thing = {0: 3, 1: 4, 2: 2}[ground]
    return torch.where(own >= len(GROUNDS), torch.tensor(thing), own)
