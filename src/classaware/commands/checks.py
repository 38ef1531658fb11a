"""What would show itself only after training began, or without the name of the file at fault."""

from argparse import ArgumentTypeError
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from jsonargparse import Namespace

from classaware.errors import InputError
from classaware.files import given_path


def path_given(text: str | Path) -> Path:
    """A path on the command line: an empty one, as of a variable that is not set, would be the working folder."""
    try:
        return given_path(text)
    except InputError as error:
        raise ArgumentTypeError(str(error)) from error


def check_numbers(seed: int, trainer: Namespace) -> None:
    """Raise ``InputError`` for a seed that numpy refuses and for counts of steps that Lightning divides by."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed={seed}: must be in 0 to 4294967295.")
    if trainer.max_steps < 1:
        raise InputError(
            f"trainer.max_steps={trainer.max_steps} must be set: training is counted in steps (for example 30000)."
        )
    for name in ("val_check_interval", "log_every_n_steps", "accumulate_grad_batches"):
        value = trainer[name]
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InputError(f"trainer.{name}={value}: must be a whole number of steps, at least 1.")


def check_yaml(path: Path) -> None:
    """Raise ``InputError`` if a configuration file is no YAML mapping; the parser's errors do not name the file."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"config {path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"config {path} must hold options as 'name: value', grouped as --print_config shows them.")
