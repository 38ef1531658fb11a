"""What the training input costs: images a second and memory, beside the same chain on plain PIL and NumPy.

Pairs of a 500x375 JPEG and a PNG through the authors' chain (seven scales with aligned corners, brightness, padding,
crop of 513x513, flip), read by worker processes of the same loader on both sides, in turns within one run.

    python benchmarks/input.py [--workers 2] [--images 240] [--rounds 5] [--epochs 3] [--json FILE] [--quick]
"""

import argparse
import gc
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from classaware.data import SCALES, FolderDataset, Sample, SegmentationData
from classaware.data.hashing import derive
from classaware.files import write_atomically

HEIGHT, WIDTH, CROP, BATCH = 375, 500, 513, 8
WARM = 2  # passes until the workers' allocators have what they need


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=240, help="pairs of the data set")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each side, in turns; the median counts")
    parser.add_argument("--epochs", type=int, default=3, help="epochs over which memory is watched")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="a small data set and one round")
    options = parser.parse_args()
    if options.quick:
        options.images, options.rounds = 48, 1
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        make_pairs(Path(folder), options.images)
        dataset = FolderDataset(Path(folder))
        memory = memory_by_epoch(dataset, options.workers, options.epochs)
        speed = throughput(dataset, options.workers, options.rounds)
    print(f"{'classaware':>12} {speed['classaware']:8.1f} images/s")
    print(f"{'PIL/NumPy':>12} {speed['plain']:8.1f} images/s")
    print(f"{'ratio':>12} {speed['ratio']:8.2f}   (by round: {', '.join(f'{r:.2f}' for r in speed['ratios'])})")
    print(f"memory of all processes after each epoch: {', '.join(f'{m:.0f}' for m in memory)} MiB")
    print(f"(the first {WARM} fill the allocators of the workers)")
    if options.json:
        row = {
            "image": [HEIGHT, WIDTH],
            "crop": CROP,
            "batch": BATCH,
            "images": options.images,
            "workers": options.workers,
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            **speed,
            "memory_mib_by_epoch": memory,
        }
        write_atomically(options.json, (json.dumps([row], indent=2) + "\n").encode())


def make_pairs(folder: Path, count: int) -> None:
    """Pictures with the detail of photographs (a JPEG of 50 to 100 KB) and masks of a few large regions."""
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind / "train").mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"class {i}\n" for i in range(59)))
    for i in range(count):
        picture = sum(weight * noise(random, step) for step, weight in ((60, 0.6), (12, 0.25), (3, 0.15)))
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"images/train/{i:05d}.jpg", quality=90)
        regions = Image.fromarray(random.integers(0, 59, (5, 6), dtype=np.uint8))
        regions.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST).save(folder / f"masks/train/{i:05d}.png")


def noise(random: np.random.Generator, step: int) -> NDArray[np.float32]:
    """Colors that change smoothly over ``step`` pixels, (HEIGHT, WIDTH, 3) in 0 to 255."""
    coarse = random.integers(0, 256, (HEIGHT // step + 1, WIDTH // step + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)


def loader(dataset: FolderDataset, workers: int) -> DataLoader[Any]:
    """This project's training input."""
    data = SegmentationData(dataset, batch_size=BATCH, crop_size=(CROP, CROP), num_workers=workers)
    steps = len(dataset.samples("train")) // BATCH
    trainer = {"max_steps": steps, "accumulate_grad_batches": 1, "global_step": 0, "global_rank": 0, "world_size": 1}
    data.trainer = SimpleNamespace(**trainer)  # type: ignore[assignment]
    return data.train_dataloader()


def plain_loader(dataset: FolderDataset, workers: int) -> DataLoader[Any]:
    """The same chain on PIL and NumPy, behind torch's own loader."""
    return DataLoader(
        Plain(dataset.samples("train")), BATCH, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip


class Plain(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Each step after the other on the whole picture, vectorized, as one would write it down from the description."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.calls = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        random = np.random.default_rng(derive(index, self.calls))
        image = np.asarray(Image.open(self.samples[index].image).convert("RGB"), dtype=np.float32) / 255
        label = np.asarray(Image.open(self.samples[index].label))
        scale = SCALES[random.integers(len(SCALES))]
        size = math.floor(image.shape[0] * scale), math.floor(image.shape[1] * scale)
        image, label = bilinear(image, size), nearest(label, size)
        if random.random() < 0.5:
            image = image + np.float32(random.uniform(-32, 32) / 255)
        image = image.clip(0, 1)
        down, right = max(CROP - size[0], 0), max(CROP - size[1], 0)
        image = np.pad(image, ((0, down), (0, right), (0, 0)), constant_values=0.5)
        label = np.pad(label, ((0, down), (0, right)), constant_values=255)
        top, left = (random.integers(side - CROP + 1) for side in label.shape)
        image, label = image[top : top + CROP, left : left + CROP], label[top : top + CROP, left : left + CROP]
        if random.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        pixels = np.ascontiguousarray(image.transpose(2, 0, 1))
        return torch.from_numpy(pixels), torch.from_numpy(label.astype(np.int64))


def bilinear(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Aligned corners, rows first, for there are fewer of them to hold."""
    for axis, new in enumerate(size):
        old = image.shape[axis]
        place = np.arange(new, dtype=np.float32) * np.float32((old - 1) / max(new - 1, 1))
        low = np.minimum(place.astype(np.int64), old - 1)
        weight = (place - low).reshape(-1, *[1] * (2 - axis))
        lower, upper = image.take(low, axis), image.take(np.minimum(low + 1, old - 1), axis)
        image = lower + (upper - lower) * weight
    return image


def nearest(label: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Aligned corners, halves upwards."""
    rows, columns = (
        np.floor(np.arange(new) * ((old - 1) / max(new - 1, 1)) + 0.5).astype(np.int64)
        for old, new in zip(label.shape, size, strict=True)
    )
    return label[rows[:, None], columns]


def throughput(dataset: FolderDataset, workers: int, rounds: int) -> dict[str, Any]:
    """Images a second of both, in turns, after one warm-up each."""
    sides = {"classaware": loader(dataset, workers), "plain": plain_loader(dataset, workers)}
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            start, count = time.perf_counter(), 0
            for batch in side:
                count += len(batch["image"] if isinstance(batch, dict) else batch[0])
            if turn:
                speeds[name].append(count / (time.perf_counter() - start))
    ratios = [ours / plain for ours, plain in zip(speeds["classaware"], speeds["plain"], strict=True)]
    return {name: median(values) for name, values in speeds.items()} | {"ratio": median(ratios), "ratios": ratios}


def memory_by_epoch(dataset: FolderDataset, workers: int, epochs: int) -> list[float]:
    """MiB of this process and its workers after every pass, those of the warm-up included."""
    batches = loader(dataset, workers)
    used = []
    for _ in range(WARM + epochs):
        for _ in batches:
            pass
        gc.collect()
        used.append(sum(proportional_set_size(pid) for pid in (os.getpid(), *children())) / 2**10)
    return used


def children() -> Iterator[int]:
    """Process numbers of the workers."""
    for task in Path("/proc/self/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def proportional_set_size(pid: int) -> int:
    """KiB; pages that processes share are divided between them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError("this benchmark reads memory from Linux's /proc")


if __name__ == "__main__":
    main()
