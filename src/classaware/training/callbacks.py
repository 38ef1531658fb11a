"""What happens beside a training: the bar, and where random numbers come from."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar

from classaware.data.hashing import derive


class StepProgressBar(RichProgressBar):
    """Training is counted in steps, so neither an epoch nor a version of the log is shown."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"

    @property
    def total_train_batches(self) -> int:
        """All batches of the run; Lightning would count what is left, and steps where gradients are accumulated."""
        return int(self.trainer.num_training_batches)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Loss and validation mIoU."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}


class StepSeeds(Callback):
    """Dropout, drop path and whatever else draws from the global generators: a function of seed, batch and process.

    So a run that goes on at a batch draws there what the whole run drew, without any generator's state in checkpoints.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators of torch (all devices), numpy and Python."""
        key = derive(self.seed, trainer.fit_loop.total_batch_idx, trainer.global_rank) >> 1
        torch.manual_seed(key)
        np.random.seed(key & 0xFFFFFFFF)  # noqa: NPY002  # the global generator is what others draw from
        random.seed(key)
