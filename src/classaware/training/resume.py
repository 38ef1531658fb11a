"""Whether a run can go on from a checkpoint."""

from pathlib import Path
from typing import Any

from torch import nn

from classaware.errors import InputError
from classaware.training.card import KEY, NetworkCard, read_checkpoint

_PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step", "pytorch-lightning_version")


def check_resumable(path: Path, card: NetworkCard, objective: nn.Module, optimizer: str, max_steps: int) -> None:
    """Find out before training starts whether a checkpoint belongs to this configuration.

    Args:
        path: the checkpoint to resume from.
        card: of the network that is to be trained on.
        objective: its losses, which may have a state of their own (running centers, a rival's layers).
        optimizer: ``sgd`` or ``adamw``.
        max_steps: where the run ends.

    Raises:
        InputError: the checkpoint cannot be read, holds no state of a training, was made with another network,
            other losses or another optimizer, or is already at the end.
    """
    checkpoint = read_checkpoint(path)
    missing = [part for part in _PARTS if part not in checkpoint]
    if missing:
        raise InputError(f"checkpoint {path} cannot be resumed from: it lacks {', '.join(missing)}.")
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
    if checkpoint["global_step"] >= max_steps:
        raise InputError(
            f"checkpoint {path} is at step {checkpoint['global_step']} and trainer.max_steps={max_steps}: there is "
            "nothing left to train."
        )


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
