"""Options that name a class, and what to say where there is no such class."""

import re
from argparse import ArgumentError

from classaware.data import SegmentationDataset
from classaware.models import Head
from classaware.rivals import Rival

CHOICES: dict[str, type] = {"network.head": Head, "rival": Rival, "data.dataset": SegmentationDataset}


def explain(error: ArgumentError) -> str:
    """The parser's sentence, or ours where a class was to be chosen by its name."""
    given = re.search(r'"([\w.]+)".*import path string: (\S+)', " ".join(str(error).split()))
    if given is None or given[1] not in CHOICES:
        return str(error)
    known = ", ".join(sorted(c.__name__ for c in _below(CHOICES[given[1]])))
    return f"{given[1]}: there is no {given[2]}; choose one of {known}, or give your own class as module.Class."


def _below(base: type[object]) -> set[type[object]]:
    below: set[type[object]] = set()
    for child in base.__subclasses__():
        below |= {child} | _below(child)
    return below
