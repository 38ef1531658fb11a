"""Options that name a class, and what to say where there is no such class."""

import re
from argparse import ArgumentError
from importlib import import_module

from jsonargparse import Namespace

from classaware.errors import InputError

# Module and name of the choices' base, imported only where they are to be listed.
CHOICES = {
    "network.head": ("classaware.models", "Head"),
    "rival": ("classaware.rivals", "Rival"),
    "data.dataset": ("classaware.data", "SegmentationDataset"),
    "dataset": ("classaware.data", "SegmentationDataset"),
}

# Of options with several numbers, by the last part of their names.
_EXAMPLES = {
    **dict.fromkeys(("image_size", "crop_size", "pad_size", "window"), "513,513"),
    "stride": "342,342",
    "scales": "0.75,1.0,1.25",
    "scale_range": "0.5,2.0",
}


def explain(error: ArgumentError) -> str:
    """The parser's sentence, or ours where a class was to be chosen by its name."""
    given = re.search(r'"([\w.]+)".*import path string: (.+)', " ".join(str(error).split()))
    if given is None or given[1] not in CHOICES:
        option = re.search(r'"((?:[\w.]*\.)?(\w+))"', str(error))
        example = _EXAMPLES.get(option[2]) if option else None
        hint = f" Write it in brackets: --{option[1]} '[{example}]'." if option and example else ""
        return f"{error}{hint}"
    return _choose(given[1], f"there is no {given[2]}")


def refuse_bases(config: Namespace) -> None:
    """Raise ``InputError`` where what was chosen is only the base of the choices."""
    for option, (_, base) in CHOICES.items():
        chosen = config.get(option)
        if chosen is not None and re.fullmatch(rf"classaware\..*\.{base}", chosen.class_path):
            raise InputError(_choose(option, f"{base} is what all of them have in common"))


def _choose(option: str, problem: str) -> str:
    module, base = CHOICES[option]
    known = ", ".join(sorted(c.__name__ for c in _below(getattr(import_module(module), base))))
    return f"{option}: {problem}; choose one of {known}, or give your own class as module.Class."


def _below(base: type[object]) -> set[type[object]]:
    below: set[type[object]] = set()
    for child in base.__subclasses__():
        below |= {child} | _below(child)
    return below
