"""Stopping between two steps when a scheduler or the user asks for it."""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist

# SLURM sends SIGUSR1 where the job asks for it (--signal), others SIGTERM, Ctrl-C SIGINT.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]

# A launcher forwards what the scheduler has already sent to every process: within so many seconds it is one signal.
_SAME = 1.0


class Stopped(SystemExit):
    """The run ended early, as it was asked to; all that it did is saved.

    Its status is 128 and the signal's number, as a shell has it: 143 for SIGTERM, 130 for Ctrl-C, 138 for SIGUSR1.
    """

    def __init__(self, number: int, step: int, speaks: bool) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name
        self.step = step
        self.speaks = speaks  # one of several processes tells the user


class StopSignals:
    """Notices SIGTERM, SIGINT and SIGUSR1; a second one ends the process at once.

    Several processes must leave behind the same step. Whether any of them was asked to is a maximum over all of them,
    taken before every step over a connection of their hosts (gloo), for which no device is waited.
    """

    def __init__(self) -> None:
        self._received = 0
        self._time = 0.0
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._shared_batches = 0

    def prepare(self, trainer: pl.Trainer) -> None:
        """Remember what the signals did, before the trainer changes it, and connect the processes."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        if trainer.world_size > 1 and dist.is_initialized():
            self._group = dist.new_group(backend="gloo")

    def listen(self) -> None:
        """From now on a signal is noticed."""
        for number in self._before:
            signal.signal(number, self._notice)

    def restore(self) -> None:
        """Signals do again what they did."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def before_step(self) -> int:
        """The signal that ends the run before this step, the same in all processes; 0 for none."""
        return self._received if self._group is None else self._largest(self._received)

    def begin_validation(self, batches: int) -> None:
        """Find out how many batches every process has."""
        self._shared_batches = batches if self._group is None else -self._largest(-batches)

    def before_validation(self, batch: int) -> int:
        """The signal that ends the run before this batch of validation, the same in all processes; 0 for none."""
        if self._group is None:
            return self._received
        return self._largest(self._received) if batch < self._shared_batches else 0

    def _largest(self, value: int) -> int:
        everyone = torch.tensor(value)
        dist.all_reduce(everyone, dist.ReduceOp.MAX, group=self._group)
        return int(everyone)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._received and now - self._time > _SAME:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self._received:
            self._received, self._time = number, now
