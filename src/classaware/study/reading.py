"""The file that says what a study is, read and checked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from classaware.errors import InputError
from classaware.study.plan import Cell, DataChoice, Study

# Names become folders: of letters, digits and what is harmless everywhere.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_AXES = ("datasets", "networks", "variants")
_KEYS = (*_AXES, "name", "fit", "seeds", "baseline", "grid")
_GRID = (*_AXES, "seeds")
_MAX_SEED = 2**32 - 1  # of numpy
_OWN = (
    "seed",
    "output",
    "resume",
    "ckpt_path",
    "config",
    "help",
    "print_config",
)  # options of fit that say nothing about a cell


def read_study(path: Path) -> Study:
    """Read a study's YAML file::

        name: animals
        fit: ["--trainer.max_steps=400"]            # for all, over data set and network; optional
        datasets:
          msrc21: [datasets/msrc21, "--data.crop_size=[193,193]"]
          voc21: {fit: [datasets/voc2012], splits: [val, test], train_split: train}
        networks:
          self-attention: [lite0-self-attention]
        variants:
          baseline: []
          released: [car]
        baseline: baseline                          # default: the first variant
        seeds: [0, 1, 2]
        grid:                                       # optional; default: everything with everything
          - {datasets: [voc21], seeds: [0]}

    What stands for a data set, a network or a variant are names of recipes, paths of YAML files (looked for beside the
    study first) and options of ``classaware fit``. The grid's entries may name ``datasets``, ``networks``, ``variants``
    and ``seeds``; what an entry leaves out is all of them. Cells are taken up seed by seed, so that a study which is
    cut short has whole pairs.

    Raises:
        InputError: a file that cannot be read, or that is no study.
    """
    content = _read(path)
    unknown = sorted(map(str, set(content) - set(_KEYS)))
    if unknown:
        raise InputError(f"{path}: a study has no {unknown[0]!r}; its keys are {', '.join(_KEYS)}.")
    try:
        datasets = {name: _data(value) for name, value in _named(content, "datasets", None).items()}
        networks = {name: _fit(value) for name, value in _named(content, "networks", {"default": []}).items()}
        variants = {name: _fit(value) for name, value in _named(content, "variants", None).items()}
        baseline = content.get("baseline", next(iter(variants)))
        if not isinstance(baseline, str) or baseline not in variants:
            raise InputError(f"baseline {baseline!r} is none of its variants ({', '.join(variants)})")
        known: dict[str, list[Any]] = {"datasets": list(datasets), "networks": list(networks)}
        known |= {"variants": list(variants), "seeds": _seeds(content.get("seeds", [0, 1, 2]), "seeds")}
        grid = content.get("grid", [{}])
        if not isinstance(grid, list) or not grid:
            raise InputError("grid is a list of entries, each with some of " + ", ".join(_GRID))
        cells = sorted({cell for entry in grid for cell in _cells(entry, known)}, key=lambda cell: _order(cell, known))
        name = content.get("name", path.stem)
        _check_name(name, "name")
        return Study(
            name, _fit(content.get("fit", [])), datasets, networks, variants, baseline, tuple(cells), path.parent
        )
    except InputError as error:
        raise InputError(f"{path}: {str(error).rstrip('.')}. docs/study.md says what a study's file holds.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Once)
    except OSError as error:
        raise InputError(f"cannot read the study {path} ({error.strerror}): check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML ({' '.join(str(error).split())}): correct it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no study: it has no {', '.join(_AXES)}.")
    return content


class _Once(yaml.SafeLoader):
    """Of two entries of one name, YAML would silently forget the first."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names = [key.value for key, _ in node.value]
        twice = next((key for index, (key, _) in enumerate(node.value) if key.value in names[:index]), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(None, None, f"{twice.value!r} is there twice", twice.start_mark)
        return node


def _named(content: Mapping[str, Any], key: str, default: Any) -> dict[str, Any]:
    found = content.get(key, default)
    if not isinstance(found, dict) or not found:
        raise InputError(f"{key} must be there, each with its name, as in '{key}: {{name: [...]}}'")
    for name in found:
        _check_name(name, f"{key}: the name")
    lower = [name.lower() for name in found]
    if len(set(lower)) < len(lower):  # on some file systems they would be one folder
        raise InputError(f"{key} has two names that differ in upper and lower case alone")
    return found


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"{what} {name!r} must be of letters, digits, '.', '_', '+' and '-' (at most 64), in quotes")


def _data(value: Any) -> DataChoice:
    if not isinstance(value, dict):
        return DataChoice(_fit(value))
    unknown = sorted(map(str, set(value) - {"fit", "splits", "train_split"}))
    if unknown:
        raise InputError(f"a data set has no {unknown[0]!r}, only fit, splits and train_split")
    splits, train_split = value.get("splits", ["test"]), value.get("train_split", "train")
    if not isinstance(splits, list) or not splits or not all(isinstance(split, str) for split in splits):
        raise InputError(f"splits {splits!r} must be a list of names")
    for split in splits:
        _check_name(split, "split")
        if split.lower() in ("cell", "study"):
            raise InputError(f"a split cannot be called {split!r}: its evaluation would take the place of {split}.json")
    if train_split is not None and not isinstance(train_split, str):
        raise InputError(f"train_split {train_split!r} must be a name or null")
    return DataChoice(_fit(value.get("fit", [])), tuple(dict.fromkeys(splits)), train_split)


def _fit(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(part, str) and part for part in value):
        raise InputError(f"{value!r} must be a list of recipes, files and options of 'classaware fit', all as text")
    for part in value:
        option, equals, _ = part.partition("=")
        if part.startswith("-") and not equals:
            raise InputError(f"the option {part!r} must have its value with it, as in '{part}=...'")
        if option.removeprefix("--") in _OWN:
            raise InputError(f"{part!r} is not for a study's file, which has seeds and a folder of its own")
    return tuple(value)


def _seeds(value: Any, what: str) -> list[int]:
    if not isinstance(value, list) or not value or any(not _is_seed(seed) for seed in value):
        raise InputError(f"{what} {value!r} must be a list of whole numbers from 0 to {_MAX_SEED}")
    return list(dict.fromkeys(value))


def _is_seed(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_SEED


def _cells(entry: Any, known: Mapping[str, Sequence[Any]]) -> Iterator[Cell]:
    if not isinstance(entry, dict) or not set(entry) <= set(_GRID):
        raise InputError(f"grid: {entry!r} must have some of {', '.join(_GRID)} and nothing else")
    chosen = {}
    for axis in _AXES:
        chosen[axis] = entry.get(axis, known[axis])
        if not isinstance(chosen[axis], list) or not chosen[axis] or any(n not in known[axis] for n in chosen[axis]):
            raise InputError(f"grid: {axis} {entry[axis]!r} must be a list of some of {', '.join(known[axis])}")
    seeds = _seeds(entry.get("seeds", known["seeds"]), "grid: seeds")
    for dataset in chosen["datasets"]:
        for network in chosen["networks"]:
            for variant in chosen["variants"]:
                yield from (Cell(dataset, network, variant, seed) for seed in seeds)


def _order(cell: Cell, known: Mapping[str, Sequence[Any]]) -> tuple[int, ...]:
    places = [known[axis].index(name) for axis, name in zip(_AXES, cell[:3], strict=True)]
    return (cell.seed, *places)
