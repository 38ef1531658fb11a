"""Twenty steps of a network, data and losses that depend on no library's random numbers or layers but torch's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn

from classaware.data import FolderDataset, SegmentationData
from classaware.models import Segmenter, SelfAttentionHead
from classaware.regularization import ClassAwareRegularization
from classaware.training import SegmentationTask

STEPS = 20


class TinyBackbone(nn.Module):
    """Two strided convolutions with batch norm."""

    channels = (8, 16)
    strides = (2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.first(images - 0.5)
        return [x, self.second(x)]


class Losses(pl.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.values.append(float(outputs["loss"]))


def write_data(root: Path) -> Path:
    """12 images to train on and 1 to choose on, 60x80, of 4 classes, with ignored pixels."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 1)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            label = np.kron(rng.integers(0, 4, (3, 4)), np.ones((20, 20))).astype(np.uint8)
            image = (label[..., None] * np.array([60, 20, 40]) + rng.integers(0, 60, (60, 80, 3))).astype(np.uint8)
            label[rng.random(label.shape) < 0.02] = 255
            Image.fromarray(image).save(root / "images" / split / f"{i:02}.png")
            Image.fromarray(label).save(root / "masks" / split / f"{i:02}.png")
    (root / "classes.txt").write_text("a\nb\nc\nd\n")
    return root


def fill(network: nn.Module) -> None:
    """He initialization of kernels, by numpy and the parameters' names."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            values = np.random.default_rng(crc32(name.encode())).standard_normal(tuple(parameter.shape))
            fan_in = parameter[0].numel()
            parameter.data.copy_(torch.from_numpy(values * (2 / fan_in) ** 0.5))


def curve(root: Path, output: Path, **changes: Any) -> list[float]:
    """The losses; ``changes`` are arguments of data (data_...), regularizer (car_...) and training (others)."""
    torch.manual_seed(0)
    given: dict[str, dict[str, Any]] = {"data": {}, "car": {}, "task": {}}
    for name, value in changes.items():
        group, _, rest = name.partition("_")
        given[group][rest] = value
    data = {"crop_size": (49, 49), "batch_size": 4, "num_workers": 0, "seed": 0} | given["data"]
    task = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2, "decay": "kernels", "power": 0.9} | given["task"]
    network = Segmenter(TinyBackbone(), lambda inputs: SelfAttentionHead(inputs, 16, 8), 4, "on", "1x1")
    fill(network)
    module = SegmentationTask(network, ClassAwareRegularization(4, **given["car"]), **task)
    losses = Losses()
    trainer = pl.Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        check_val_every_n_epoch=None,
        use_distributed_sampler=False,
        callbacks=[losses],
        default_root_dir=output,
    )
    trainer.fit(module, datamodule=SegmentationData(FolderDataset(root), **data))
    return losses.values


def furthest(curve: Sequence[float], other: Sequence[float]) -> float:
    """The largest relative difference."""
    return max(abs(a - b) / abs(b) for a, b in zip(curve, other, strict=True))
