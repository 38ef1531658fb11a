"""Whether the fields of a card are what they are said to be, before anything relies on them."""

from typing import TYPE_CHECKING, Any

from classaware.errors import InputError

if TYPE_CHECKING:
    from classaware.training.card import NetworkCard


def check_fields(card: "NetworkCard") -> None:
    """Refuse a card of which another part would make something odd, or fail much later.

    Raises:
        InputError: the first field that is not as it must be.
    """
    for name in ("network", "dataset", "inference", "training"):
        _expect(isinstance(getattr(card, name), dict), name, getattr(card, name), "a dictionary")
    names, palette, size = card.class_names, card.palette, card.image_size
    texts = _is_list(names) and all(isinstance(name, str) for name in names)
    _expect(texts and len(names) > 0, "class_names", names, "a list of texts")
    _expect(_is_list(palette) and all(map(_is_color, palette)), "palette", palette, "a list of three numbers 0..255")
    _expect(len(palette) == len(names), "palette", palette, f"as long as class_names, {len(names)}")
    num_classes = card.network.get("num_classes", len(names))
    _expect(_is_whole(num_classes), "network.num_classes", num_classes, "a whole number")
    _expect(num_classes == len(names), "network.num_classes", num_classes, f"the length of class_names, {len(names)}")
    _expect(_is_whole(card.ignore_index), "ignore_index", card.ignore_index, "a whole number")
    sides = _is_list(size) and len(size or ()) == 2 and all(_is_whole(side) and side > 0 for side in size or ())
    _expect(size is None or sides, "image_size", size, "null or two whole numbers above 0")


def _expect(right: bool, name: str, value: Any, wanted: str) -> None:
    if not right:
        raise InputError(f"{name} of its card is {value!r:.60}, must be {wanted}")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_color(value: Any) -> bool:
    return _is_list(value) and len(value) == 3 and all(_is_whole(part) and 0 <= part <= 255 for part in value)
