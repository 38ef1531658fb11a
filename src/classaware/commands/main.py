"""``classaware COMMAND ...``: finds the command's file and turns every expected error into one line."""

import os
import sys
import traceback
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module

from classaware import __version__
from classaware.errors import InputError

COMMANDS = {
    "data": "prepare, check and look at data sets",
    "fit": "train a network on a data set, with or without CAR",
    "evaluate": "mIoU and per-class IoU of a checkpoint on a data set",
    "compare": "runs against runs: means over seeds, paired test, intervals, per-class differences",
    "insight": "class dependency, pixel relations, rare combinations, objects in other contexts",
    "explore": "one HTML page: click a pixel, see what every network relates it to",
    "study": "a grid of trainings over data sets, networks, variants and seeds, with its tables",
    "report": "one HTML report of one or several runs",
    "predict": "index masks and overlays for images",
    "export": "a checkpoint as an ONNX or torch.export file, checked, with its card inside",
    "weights": "the network of a checkpoint as a .safetensors file to give to others",
    "recipes": "list the rows of the paper's tables and the parts they are made of, or show one",
    "completion": "a script with which bash or zsh completes commands and options",
    "demo": "see CAR's effect on unseen class combinations, in minutes on a CPU",
}

_USAGE = "\n".join(
    [
        "usage: classaware COMMAND ...",
        "",
        "Class-aware regularization (CAR, ECCV 2022) for semantic segmentation.",
        "",
        "commands:",
        *(f"  {name:<10} {purpose}" for name, purpose in COMMANDS.items()),
        "",
        "'classaware COMMAND --help' lists a command's options; 'classaware --version' prints the version.",
        "CLASSAWARE_TRACEBACK=1 in the environment shows where in the code an error comes from.",
    ]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns 0: done; 1: done, and what was checked is not in order; 2: unusable input (one line on the error stream);
    3: a study that is to go on; 130: interrupted. Whatever else goes wrong is a fault of the program and shows its
    traceback.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if arguments[0] == "--version":
        print(f"classaware {__version__}")
        return 0
    name = arguments.pop(0)
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        return _fail("", f"unknown command {name!r}; {f'did you mean {near[0]!r}?' if near else _known()}")
    return guarded(name, lambda: import_module(f"classaware.commands.{name}").run(arguments))


def guarded(name: str, action: Callable[[], int | None]) -> int:
    """Do what a command does; returns its status, or that of the error that was printed, see `main`."""
    try:
        status = action()
    except InputError as error:
        return _fail(name, str(error))
    except ArgumentError as error:
        from classaware.commands.choices import explain  # needs the parser's package

        return _fail(name, explain(error))
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        return _fail(name, f"{place}{error.strerror or error}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("classaware"):
            raise
        return _fail(name, f"the package {error.name!r} is missing: pip install 'classaware[train]'")
    except KeyboardInterrupt:
        return _fail(name, "interrupted", 130)
    except SystemExit as error:  # --help and --print_config are done; the trainer turns an interruption into an exit
        if isinstance(error.__context__, KeyboardInterrupt):
            return _fail(name, "interrupted", 130)
        return error.code if isinstance(error.code, int) else 0
    return status or 0


def _known() -> str:
    return f"choose one of {', '.join(COMMANDS)}."


def _fail(command: str, message: str, status: int = 2) -> int:
    if os.environ.get("CLASSAWARE_TRACEBACK") and sys.exc_info()[0] is not None:
        traceback.print_exc()
    program = f"classaware {command}".strip()
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
