"""A data set as the loaders that training and evaluation read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from classaware.data.dataset import Sample, SegmentationDataset, check_one_size
from classaware.data.hashing import derive
from classaware.data.sampler import Place, StepSampler
from classaware.data.transforms import SCALES, TrainTransform
from classaware.data.workers import begin_worker
from classaware.errors import InputError

Item = dict[str, Any]


class SegmentationData(pl.LightningDataModule):
    """Loaders of ``{"image": (B, 3, H, W), "label": int64 (B, H, W), "name": list}``.

    Images are float32 in [0, 1] for training and uint8 at their own size for evaluation (see
    :class:`classaware.evaluation.Inference`, which prepares them).

    Args:
        dataset: the images and masks.
        batch_size: of training, in each process.
        eval_batch_size: of evaluation; above 1 all images must have one size.
        image_size: (height, width) to which images are brought first; in evaluation labels keep their own size.
        crop_size: (height, width) of training; needed where images differ in size.
        scales: from which one is drawn for each training image.
        scale_range: draw the scale evenly between these two instead (scale jitter).
        flip: mirror left and right in half of the cases.
        brightness: shift the brightness in half of the cases.
        photometric: change contrast, saturation and hue, each in half of the cases.
        max_class_share: crops in which one class has this share of the labeled pixels are drawn anew (category-ratio
            crop); 1 takes every crop.
        train_split: name of the split to train on.
        val_split: name of the split to choose on.
        num_workers: processes that read images; 0 reads in the main process.
        seed: of order and augmentation, which do not depend on the number of workers.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int = 16,
        eval_batch_size: int = 1,
        image_size: tuple[int, int] | None = None,
        crop_size: tuple[int, int] | None = None,
        scales: tuple[float, ...] = SCALES,
        scale_range: tuple[float, float] | None = None,
        flip: bool = True,
        brightness: bool = True,
        photometric: bool = False,
        max_class_share: float = 1.0,
        train_split: str = "train",
        val_split: str = "val",
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or eval_batch_size < 1 or num_workers < 0:
            raise InputError(
                f"batch_size={batch_size} and eval_batch_size={eval_batch_size} must be at least 1, "
                f"num_workers={num_workers} at least 0."
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.image_size = image_size
        self.num_workers = num_workers
        self.seed = seed
        self.train_split = train_split
        self.val_split = val_split
        self.train_transform = TrainTransform(
            image_size,
            crop_size,
            scales,
            scale_range,
            flip,
            brightness,
            photometric,
            max_class_share,
            dataset.ignore_index,
        )

    @property
    def num_classes(self) -> int:
        """K of the data set."""
        return self.dataset.num_classes

    @property
    def ignore_index(self) -> int:
        """Label of pixels without a class."""
        return self.dataset.ignore_index

    def train_dataloader(self) -> DataLoader[Item]:
        """Batches from the trainer's current step to its last."""
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("train_dataloader is asked for by a Trainer")
        samples = self.dataset.samples(self.train_split)
        if self.batch_size > 1 and self.image_size is None and self.train_transform.crop_size is None:
            check_one_size(samples, "data.crop_size or data.image_size")
        accumulate = trainer.accumulate_grad_batches
        sampler = StepSampler(
            len(samples),
            self.batch_size,
            trainer.max_steps * accumulate,
            self.seed,
            lambda: trainer.global_step * accumulate,
            trainer.global_rank,
            trainer.world_size,
        )
        data = TrainSamples(self.dataset, samples, self.train_transform, self.seed)
        return _Loader(data, batch_sampler=sampler, **self._options())

    def val_dataloader(self) -> DataLoader[Item]:
        """The split to choose on; of several processes each reads its own share."""
        trainer = self.trainer
        if trainer is None:
            return self.eval_dataloader(self.val_split)
        count = len(self.dataset.samples(self.val_split))
        if count < trainer.world_size:  # the trainer cannot do with an empty loader
            raise InputError(
                f"split {self.val_split!r} has {count} images for {trainer.world_size} processes: use fewer."
            )
        return self.eval_dataloader(self.val_split, trainer.global_rank, trainer.world_size)

    def eval_dataloader(self, split: str, rank: int = 0, world_size: int = 1) -> DataLoader[Item]:
        """Every image of a split once and whole, in order; of several processes' shares that of ``rank``."""
        samples = self.dataset.samples(split)
        if self.eval_batch_size > 1:
            check_one_size(samples, "a batch size of 1 for evaluation")
        data = EvalSamples(self.dataset, samples[rank::world_size])
        return _Loader(data, batch_size=self.eval_batch_size, **self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "collate_fn": collate,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": begin_worker,
        }


class _Loader(DataLoader[Item]):
    """Shows an error of a worker process in the words in which it was raised, not as that process's traceback."""

    def __iter__(self) -> Iterator[Item]:  # type: ignore[override]  # nobody needs torch's own type of iterator
        try:
            yield from super().__iter__()
        except InputError as error:
            if not str(error).startswith("Caught InputError in"):
                raise
            raise InputError(str(error).rpartition(f"{InputError.__name__}: ")[2].strip()) from error


class TrainSamples(Dataset[Item]):
    """Augmented samples; what is drawn for a position depends on the seed and the position alone."""

    def __init__(
        self, dataset: SegmentationDataset, samples: Sequence[Sample], transform: TrainTransform, seed: int
    ) -> None:
        self.dataset = dataset
        self.samples = samples
        self.transform = transform
        self.seed = seed

    def __getitem__(self, place: Place) -> Item:
        index, position = place
        generator = torch.Generator().manual_seed(derive(self.seed, position) >> 1)
        with _one_thread():
            image, label = self.transform(*self.dataset.read(self.samples[index]), generator)
        return {"image": image, "label": label, "name": self.samples[index].name}


class EvalSamples(Dataset[Item]):
    """Whole samples as they were read."""

    def __init__(self, dataset: SegmentationDataset, samples: Sequence[Sample]) -> None:
        self.dataset = dataset
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        image, label = self.dataset.read(self.samples[index])
        image, label = image.as_subclass(Tensor), label.as_subclass(Tensor)
        return {"image": image, "label": label, "name": self.samples[index].name}


def collate(items: list[Item]) -> Item:
    """Stack images and labels; their sizes were looked at before."""
    stacked: dict[str, Tensor] = {key: torch.stack([item[key] for item in items]) for key in ("image", "label")}
    return stacked | {"name": [item["name"] for item in items]}


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in workers: threads round sums by their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
