"""What happens beside a training: the bar and the checkpoint to go on from."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, RichProgressBar


class StepProgressBar(RichProgressBar):
    """Training is counted in steps, so neither an epoch nor a version of the log is shown."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Loss and validation mIoU."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}


class SaveLast(Checkpoint):
    """Write ``last.ckpt`` after every validation, at the end, and when the user interrupts.

    A ``Checkpoint``, for Lightning calls these last and in their order: behind the one that keeps the best, whose
    state is then part of what is written here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, except in the sanity check before training."""
        if not trainer.sanity_checking:
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what training ended with."""
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save what an interrupted run has done; several processes cannot agree on it any more."""
        if isinstance(exception, KeyboardInterrupt) and trainer.global_step > 0 and trainer.world_size == 1:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        # Lightning's own temporary file may lie on another disk, from where nothing can be renamed in one step.
        temporary = self.path.with_name(f".{self.path.name}.part")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.path)
