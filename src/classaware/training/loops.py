"""Lightning's training loop, entered exactly between two steps.

What Lightning keeps of a loop in a checkpoint depends on the hook in which it was saved, and what it then repeats or
leaves out after a resume follows from that. Here everything follows from the number of optimizer steps.
"""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop


class StepLoop(_TrainingEpochLoop):
    """All steps of a run.

    Attributes:
        owes_validation: a validation is due after the last step and was not finished.
    """

    owes_validation = False

    def on_save_checkpoint(self) -> dict[str, Any]:
        """What Lightning saves, and whether a validation is due."""
        return super().on_save_checkpoint() | {"owes_validation": self.owes_validation}

    def on_load_checkpoint(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        super().on_load_checkpoint(state_dict)
        self.owes_validation = state_dict.get("owes_validation", False)

    def go_to(self, steps: int, batches: int) -> None:
        """Set every counter as it stands after so many optimizer steps and batches."""
        progress = self.automatic_optimization.optim_progress.optimizer
        counted = [(self.batch_progress, batches), (self.scheduler_progress, steps)]
        for counter, number in [*counted, (progress.step, steps), (progress.zero_grad, steps)]:
            for tracker in (counter.total, counter.current):
                tracker.load_state_dict(dict.fromkeys(vars(tracker), number))
        self.batch_progress.is_last_batch = False
        self.val_loop.batch_progress.reset()
        self._batches_that_stepped = steps

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Validate first if that was due when the checkpoint was written."""
        super().on_run_start(data_fetcher)
        self.restarting = False  # there is nothing that Lightning has to repeat or to leave out
        if self.owes_validation:
            self._batches_that_stepped -= 1  # it is logged under the step behind which it was due
            self.trainer.validating = True
            self.val_loop.run()
            self.trainer.training = True
            self._batches_that_stepped += 1
            self.owes_validation = False

    def _broadcast_sigterm_tensor(self) -> None:
        """Nothing: Lightning would make all processes and devices wait for each other in every step."""


class StepFitLoop(_FitLoop):
    """Goes on where the checkpoint's number of optimizer steps says."""

    epoch_loop: StepLoop

    def load_state_dict(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        """Load, then count from the optimizer steps: that many whole steps are done, and nothing else."""
        super().load_state_dict(state_dict, prefix)
        steps = self.epoch_loop.global_step
        self.epoch_loop.go_to(steps, steps * self.trainer.accumulate_grad_batches)
        for tracker in (self.epoch_progress.total, self.epoch_progress.current):
            tracker.load_state_dict({"ready": 1, "started": 1, "processed": 0, "completed": 0})

    @property
    def done(self) -> bool:
        """Also a run that was stopped in its last validation has something left to do."""
        return super().done and not self.epoch_loop.owes_validation


def count_in_steps(trainer: pl.Trainer) -> None:
    """Give a new trainer these loops."""
    old = trainer.fit_loop
    loop = StepFitLoop(trainer, min_epochs=old.min_epochs, max_epochs=old.max_epochs)
    loop.epoch_loop = StepLoop(trainer, min_steps=old.min_steps, max_steps=old.max_steps)
    trainer.fit_loop = loop
