"""What the card of a file from anybody may name: nothing is imported for it, and no text of it is parsed."""

import sys
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from classaware.data import SegmentationDataset
from classaware.errors import InputError
from classaware.models import Backbone, Segmenter
from classaware.models.heads import Head

T = TypeVar("T")


def build_named_network(arguments: dict[str, Any]) -> Segmenter:
    """A network with random weights; of its head only a class that this process has already is called.

    Raises:
        InputError: the module of the head is not imported, or a value that the network refuses.
        TypeError: the head is anything but a class of heads, or an argument is no plain value.
    """
    more = dict(arguments)
    backbone, head = more.pop("backbone"), more.pop("head")
    _check_plain(backbone)
    _check_plain(more)
    kind, init_args = _named(head, Head)
    return Segmenter(Backbone(**backbone), partial(kind, **_converted(kind, init_args)), **more)


def build_named_dataset(arguments: dict[str, Any]) -> SegmentationDataset:
    """The data set; only a class that this process has already is called.

    Raises:
        InputError: its module is not imported, it is only known by the last part of its place, or it refuses.
        TypeError: it is anything but a class of data sets, or an argument is no plain value.
    """
    kind, init_args = _named(arguments, SegmentationDataset)
    values = _converted(kind, init_args)
    for name, value in values.items():
        if isinstance(value, Path) and value.name == init_args[name]:
            raise InputError(
                f"of {name} it says only {str(value)!r:.100}, the last part of a place on the machine of the training"
            )
    return kind(**values)


def _named(named: Any, base: type[T]) -> tuple[type[T], dict[str, Any]]:
    """The class and its arguments."""
    if isinstance(named, str):
        named = {"class_path": named}
    if not isinstance(named, dict) or not set(named) <= {"class_path", "init_args"}:
        raise TypeError(f"{named!r:.100} names no {base.__name__}")
    init_args = named.get("init_args") or {}
    _check_plain(init_args)
    return _find(named.get("class_path"), base), init_args


def _find(path: Any, base: type[T]) -> type[T]:
    if not isinstance(path, str):
        raise TypeError(f"{path!r:.100} names no {base.__name__}")
    module, _, name = path.rpartition(".")
    if not module:  # as in the configuration
        found = next((kind for kind in _subclasses(base) if kind.__name__ == name and _is_own(kind)), None)
    elif module in sys.modules:
        found = getattr(sys.modules[module], "__dict__", {}).get(name)  # no module makes it on being asked
    else:
        raise InputError(
            f"it names {path!r:.100}, whose module is not imported: import it first if you trust it, or use the .ckpt "
            "of the training"
        )
    if not (isinstance(found, type) and issubclass(found, base)):
        raise TypeError(f"{path!r:.100} is no {base.__name__}")
    return found


def _subclasses(base: type[T]) -> list[type[T]]:
    return [each for kind in base.__subclasses__() for each in (kind, *_subclasses(kind))]


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


def _check_plain(arguments: Any) -> None:
    """Numbers, texts and lists of them by name."""
    if not isinstance(arguments, dict):
        raise TypeError(f"{arguments!r:.100} are no arguments by name")
    odd = [name for name, value in arguments.items() if not (isinstance(name, str) and _is_plain(value))]
    if odd:
        raise TypeError(f"{odd[0]!r:.100} is no plain argument")


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _converted(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Texts become paths and lists tuples, where the class wants these."""
    try:
        hints = get_type_hints(kind.__init__)  # type: ignore[misc]  # the class itself is called, no subclass of it
    except (NameError, TypeError):
        hints = {}
    unknown = sorted(set(arguments) - set(signature(kind).parameters))
    if unknown:
        raise TypeError(f"{kind.__name__} has no argument {unknown[0]!r:.100}")
    return {name: _convert(value, hints.get(name)) for name, value in arguments.items()}


def _convert(value: Any, hint: Any) -> Any:
    kinds = [hint, *get_args(hint)]
    if isinstance(value, str) and Path in kinds and str not in kinds:
        return Path(value)
    if isinstance(value, list) and tuple in [get_origin(kind) or kind for kind in kinds]:
        return tuple(value)
    return value
