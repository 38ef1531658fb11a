"""Where a run begins, and whether it can go on from there."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from classaware.errors import InputError
from classaware.models import Backbone, Segmenter
from classaware.training.card import BEST, KEY, LAST, PREVIOUS, NetworkCard, read_checkpoint

_PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step", "pytorch-lightning_version")

# Options, and groups of them, that may change on the way, for they do not shape the training: its length, how often it
# is looked at, saved and logged, where it runs (the number of processes is compared by itself), where the images lie,
# and the weights it began with, which the checkpoint's replace.
_FREE = (
    "allow_shared_images",
    "data.dataset.init_args.root",
    "data.eval_batch_size",
    "data.num_workers",
    "network.backbone.pretrained",
    "network.backbone.weights",
    "regularizer.check_finite",
    "regularizer.check_labels",
    "trainer.accelerator",
    "trainer.detect_anomaly",
    "trainer.devices",
    "trainer.enable_autolog_hparams",
    "trainer.enable_model_summary",
    "trainer.log_every_n_steps",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.model_registry",
    "trainer.num_nodes",
    "trainer.num_sanity_val_steps",
    "trainer.profiler",
    "trainer.val_check_interval",
    "training.compile",
)
_SHOWN = 5  # options in a message


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
    kept = _kept(output)
    if resume and kept:
        try:
            return _latest(kept, output / BEST)
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


def checkpoints_in(output: Path) -> dict[str, int]:
    """When each checkpoint that :func:`find_start` looks at was written, in nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in _kept(output)}


def _kept(output: Path) -> list[Path]:
    """The checkpoints to go on from, the last one first."""
    return [path for path in (output / LAST, output / PREVIOUS) if path.exists()]


def _latest(kept: list[Path], best: Path) -> Start:
    """The first one that is whole; ``best`` is only named."""
    problems: list[str] = []
    for path in kept:
        try:
            return _start(path, True, " ".join([*problems, f"Going on from {path}."]) if problems else "")
        except InputError as error:
            name = f"checkpoint {path}"
            problems.append(name + str(error).removeprefix(name).split(": ")[0] + ".")
    cure = f"with --ckpt_path {best}" if _is_whole(best) else "from another one with --ckpt_path"
    raise InputError(f"{' '.join(problems)} Resume {cure}, or choose another --output.")


def _is_whole(path: Path) -> bool:
    try:
        _read_resumable(path)
    except InputError:
        return False
    return True


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
            other losses, another optimizer, another number of processes or any other option that shapes a training.
    """
    checkpoint = _read_resumable(path)
    cure = f"resume with the configuration that the run started with ({path.parent / 'config.yaml'})."
    if differing := _differing(_completed(checkpoint[KEY].get("network")), card.network):
        names = ", ".join(f"network.{name}" for name in differing)
        raise InputError(f"checkpoint {path} holds another network ({names}): {cure}")
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    if ("betas" in groups[0]) != (optimizer == "adamw"):
        raise InputError(f"checkpoint {path} was not trained with training.optimizer={optimizer}: {cure}")
    if changes := _changes(checkpoint[KEY].get("training", {}), card.training):
        shown = ", ".join(changes[:_SHOWN]) + (f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else "")
        raise InputError(f"checkpoint {path} was trained with other options ({shown}): {cure}")
    prefix = "objective."
    kept = {name.removeprefix(prefix): v for name, v in checkpoint["state_dict"].items() if name.startswith(prefix)}
    fresh = objective.state_dict()
    # Running centers take their size from the first features: until then they are empty.
    fits = all(kept[name].shape == fresh[name].shape or not fresh[name].numel() for name in kept.keys() & fresh.keys())
    if kept.keys() != fresh.keys() or not fits:
        raise InputError(
            f"checkpoint {path} was trained with another rival or other regularizer.centers or training.rare_pairs: "
            f"{cure}"
        )


def _completed(saved: Any) -> Any:
    """A card's network with the defaults of the options that its version did not have yet."""
    if not isinstance(saved, dict) or not isinstance(saved.get("backbone"), dict):
        return saved
    return _defaults(Segmenter) | saved | {"backbone": _defaults(Backbone) | saved["backbone"]}


def _defaults(of: type) -> dict[str, Any]:
    parameters = inspect.signature(of).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def _changes(saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Old and new value of what shapes the training; what one of both versions of the package lacks is not compared."""
    pairs = _unequal({name: saved[name] for name in saved.keys() & {"seed", "processes"}}, wanted)
    pairs += _unequal(saved.get("configuration", {}), wanted.get("configuration", {}))
    return [f"{name}: {old} -> {new}" for name, old, new in pairs]


def _unequal(saved: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    pairs: list[tuple[str, Any, Any]] = []
    for name in sorted(saved.keys() & wanted.keys()):
        old, new = saved[name], wanted[name]
        if prefix + name in _FREE or old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and old.get("class_path") == new.get("class_path"):
            pairs += _unequal(old, new, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, _short(old), _short(new)))
    return pairs


def _short(value: Any) -> Any:
    """Of an object its class."""
    return value.get("class_path", value) if isinstance(value, dict) else value


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
