"""How processes that read images behave."""

import os
import signal
import threading

import torch


def begin_worker(worker: int) -> None:
    """One thread, for workers share the cores with each other already; and no end but the one that the trainer sets.

    Ctrl-C and most schedulers send their signal to every process of a job. The trainer finishes its step first, for
    which it still needs these.
    """
    torch.set_num_threads(1)
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux, where who sent a signal can be told
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_the_trainer, args=(os.getppid(),), daemon=True).start()


def _obey_the_trainer(trainer: int) -> None:
    """End by SIGTERM when it comes from the trainer's process, and only then."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)
