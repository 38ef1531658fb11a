"""When a run's checkpoints are written: the best, the last, and what is kept when it is asked to stop."""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from classaware.training.card import BEST, LAST
from classaware.training.loops import StepLoop
from classaware.training.preemption import Stopped, StopSignals
from classaware.training.run_log import RunLog
from classaware.training.saving import clear_leftovers, next_path, promote


class SaveBest(Checkpoint):
    """Write ``best.ckpt`` after every validation with a higher mIoU than all before.

    Args:
        folder: where ``best.ckpt`` is; it may have been moved since the run began.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / BEST
        self.score: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """The highest mIoU so far."""
        return {"score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A score counts where its checkpoint is."""
        if self.path.exists():
            self.score = state_dict["score"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the score from a run of an earlier version, which had Lightning's callback in this place."""
        for name, state in (checkpoint.get("callbacks") or {}).items():
            if name.startswith("ModelCheckpoint") and state.get("best_model_score") is not None:
                self.load_state_dict({"score": float(state["best_model_score"])})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if it was the best, or the first one."""
        if trainer.sanity_checking:
            return
        score = float(trainer.callback_metrics["val/miou"])
        if self.score is None or score > self.score:
            self.score = -math.inf if math.isnan(score) else score
            trainer.save_checkpoint(self.path)


class SaveLast(Checkpoint):
    """Write ``last.ckpt`` every so many steps, before and after every validation, at the end, and when asked to stop.

    What it replaces becomes ``previous.ckpt``. It is written where a step is over with all that belongs to it, for
    what goes on from a checkpoint is whole steps.

    A ``Checkpoint``, for Lightning calls these last and in their order: behind the one that keeps the best, whose
    state is then part of what is written here.

    Args:
        folder: where it is written.
        every: number of optimizer steps.
        run_log: whose rows up to the checkpoint belong to it.
        keep_last: the run goes on from the ``last.ckpt`` that is there, so it is whole.
    """

    def __init__(self, folder: Path, every: int, run_log: RunLog, keep_last: bool) -> None:
        self.path = folder / LAST
        self.every = every
        self.run_log = run_log
        self.keep_last = keep_last
        self.stop = StopSignals()
        self._saved = (0, False)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Clear what a killed run left half written."""
        self.stop.prepare(trainer)
        # In place of Lightning's own handlers, which end a run as if it were done and talk to other processes.
        trainer._signal_connector.register_signal_handlers = self.stop.listen  # type: ignore[method-assign]
        if trainer.is_global_zero:
            clear_leftovers(self.path.parent)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """How much of the log belongs to it."""
        checkpoint["log_rows"] = self.run_log.rows

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Drop what was logged after it."""
        self.run_log.cut(checkpoint.get("log_rows"))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the folder one run again where it goes on from another checkpoint than its last."""
        if self.keep_last:
            self._saved = _state(trainer)
        elif self.run_log.keep:
            self._write(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Only here a step's log and validation are done: save, and stop if asked to."""
        if trainer.fit_loop.total_batch_idx % trainer.accumulate_grad_batches:
            return
        step = trainer.global_step
        asked = self.stop.before_step()
        if step and (asked or step % self.every == 0):
            self._save(trainer)
        if asked:
            raise Stopped(asked, step, trainer.is_global_zero)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, so that a run that is stopped in a long validation has lost nothing."""
        self.stop.begin_validation(int(sum(trainer.fit_loop.epoch_loop.val_loop.max_batches)))
        if not trainer.sanity_checking:
            _owe_validation(trainer, True)
            self._save(trainer)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Stop if asked to."""
        if asked := self.stop.before_validation(batch_idx):
            raise Stopped(asked, trainer.global_step, trainer.is_global_zero)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All images are seen: what is saved from here on needs no second look."""
        _owe_validation(trainer, False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, except in the sanity check before training."""
        if not trainer.sanity_checking:
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what training ended with."""
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the signals as they were, and no process that reads images: Lightning ends those of one loop only."""
        self.stop.restore()
        trainer.fit_loop.teardown()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the signals as they were."""
        self.stop.restore()

    def _save(self, trainer: pl.Trainer) -> None:
        if _state(trainer) != self._saved:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        self.run_log.sync()
        trainer.save_checkpoint(next_path(self.path.parent))
        if trainer.is_global_zero:
            promote(self.path.parent, self.keep_last)
        self.keep_last = True
        self._saved = _state(trainer)


def _state(trainer: pl.Trainer) -> tuple[int, bool]:
    """Step, and whether its validation is still due."""
    loop = trainer.fit_loop.epoch_loop
    assert isinstance(loop, StepLoop)
    return trainer.global_step, loop.owes_validation


def _owe_validation(trainer: pl.Trainer, owes: bool) -> None:
    loop = trainer.fit_loop.epoch_loop
    assert isinstance(loop, StepLoop)
    loop.owes_validation = owes
