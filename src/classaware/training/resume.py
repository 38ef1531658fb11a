"""Where a run begins, and whether it can go on from there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from classaware.errors import InputError
from classaware.training.card import KEY, LAST, PREVIOUS, NetworkCard, read_checkpoint

_PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step", "pytorch-lightning_version")


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        checkpoint: to go on from; None for the beginning.
        step: optimizer steps that are done there.
        owes_validation: the validation behind that step is still due.
        in_place: the run goes on in its own folder, so its log does, too.
        note: what the user should know: why it is not the last checkpoint.
    """

    checkpoint: Path | None = None
    step: int = 0
    owes_validation: bool = False
    in_place: bool = False
    note: str = ""

    @property
    def from_last(self) -> bool:
        """``last.ckpt`` of the run's own folder is what it goes on from."""
        return self.in_place and self.checkpoint is not None and self.checkpoint.name == LAST

    def is_end(self, max_steps: int) -> bool:
        """Nothing is left to do."""
        return self.step >= max_steps and not self.owes_validation


BEGINNING = Start()


def find_start(output: Path, checkpoint: Path | None, resume: bool) -> Start:
    """Decide where a run begins.

    Args:
        output: the run's folder.
        checkpoint: that the user names.
        resume: take the last whole checkpoint of ``output`` where there is one; it goes before ``checkpoint``.

    Raises:
        InputError: the checkpoint, or every one in ``output``, is damaged; or ``output`` holds another run.
    """
    kept = [path for path in (output / LAST, output / PREVIOUS) if path.exists()]
    if resume and kept:
        try:
            return _latest(kept)
        except InputError:
            if checkpoint is None or checkpoint in kept:
                raise
    if checkpoint is not None:
        in_place = checkpoint.parent.resolve() == output.resolve()
        if kept and not in_place:
            raise InputError(f"output folder {output} holds another run than {checkpoint}: choose another --output.")
        return _start(checkpoint, in_place)
    if kept and not resume:
        raise InputError(
            f"output folder {output} already holds a run: go on with it by --resume true (or --ckpt_path {kept[0]}), "
            "or choose another --output."
        )
    return Start()


def _latest(kept: list[Path]) -> Start:
    """The first one that is whole."""
    problems: list[str] = []
    for path in kept:
        try:
            return _start(path, True, " ".join([*problems, f"Going on from {path}."]) if problems else "")
        except InputError as error:
            problems.append(str(error).split(": ")[0] + ".")
    raise InputError(f"{' '.join(problems)} Resume from another one with --ckpt_path, or choose another --output.")


def _start(path: Path, in_place: bool, note: str = "") -> Start:
    checkpoint = _read_resumable(path)
    progress = checkpoint["loops"].get("fit_loop", {}).get("epoch_loop.state_dict", {})
    return Start(path, checkpoint["global_step"], progress.get("owes_validation", False), in_place, note)


def _read_resumable(path: Path) -> dict[str, Any]:
    checkpoint = read_checkpoint(path)
    missing = [part for part in _PARTS if part not in checkpoint]
    if missing:
        raise InputError(f"checkpoint {path} cannot be resumed from: it lacks {', '.join(missing)}.")
    return checkpoint


def check_resumable(path: Path, card: NetworkCard, objective: nn.Module, optimizer: str) -> None:
    """Find out before training starts whether a checkpoint belongs to this configuration.

    Args:
        path: the checkpoint to resume from.
        card: of the network that is to be trained on.
        objective: its losses, which may have a state of their own (running centers, a rival's layers).
        optimizer: ``sgd`` or ``adamw``.

    Raises:
        InputError: the checkpoint cannot be read, holds no state of a training, was made with another network,
            other losses or another optimizer.
    """
    checkpoint = _read_resumable(path)
    cure = f"resume with the configuration that the run started with ({path.parent / 'config.yaml'})."
    saved = checkpoint[KEY].get("network")
    if saved != card.network:
        names = ", ".join(f"network.{name}" for name in _differing(saved, card.network))
        raise InputError(f"checkpoint {path} holds another network ({names}): {cure}")
    prefix = "objective."
    kept = {name.removeprefix(prefix): v for name, v in checkpoint["state_dict"].items() if name.startswith(prefix)}
    fresh = objective.state_dict()
    # Running centers take their size from the first features: until then they are empty.
    fits = all(kept[name].shape == fresh[name].shape or not fresh[name].numel() for name in kept.keys() & fresh.keys())
    if kept.keys() != fresh.keys() or not fits:
        raise InputError(f"checkpoint {path} was trained with another rival or other regularizer.centers: {cure}")
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    if ("betas" in groups[0]) != (optimizer == "adamw"):
        raise InputError(f"checkpoint {path} was not trained with training.optimizer={optimizer}: {cure}")


def _differing(saved: Any, wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the options that are not the same."""
    if not isinstance(saved, dict):
        return [prefix.rstrip(".")]
    names: list[str] = []
    for name in sorted(saved.keys() | wanted.keys()):
        old, new = saved.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            names += _differing(old, new, f"{prefix}{name}.")
        elif old != new:
            names.append(prefix + name)
    return names
