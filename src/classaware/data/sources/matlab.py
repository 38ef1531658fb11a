"""Label maps out of MATLAB files of version 5 to 7, with every length checked against what is there.

An own reader, as SciPy's crashes the whole process on some damaged files. The format (MathWorks, MAT-File Format):
after a head of 128 bytes one element a variable, a tag of type and size before its content; variables may be
compressed by zlib.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classaware.data.preparation.archives import Entry
from classaware.data.sources.files import place
from classaware.errors import InputError

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _DOUBLE, _UINT64 = 2, 6, 15  # classes of arrays: those from double to uint64 are of numbers
_COMPLEX = 0x0800
_LARGEST = 512 * 2**20  # bytes of a decompressed variable
_HEAD = 4096  # bytes that hold a variable's name and shape


class _Array(NamedTuple):
    """A variable or a field: what its head says, and the elements behind."""

    name: str
    kind: int
    shape: tuple[int, ...]
    rest: "_Elements"


class _Elements:
    """Elements one behind the other."""

    def __init__(self, data: bytes | memoryview, order: str) -> None:
        self._data = memoryview(data)
        self.order = order

    def __bool__(self) -> bool:
        return len(self._data) > 0

    def next(self) -> tuple[int, memoryview]:
        """Type and content of the next element."""
        kind, size = struct.unpack_from(self.order + "II", self._data)
        if kind >> 16:  # small: type and size share 4 bytes, and the content has the other 4
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = 4, 8
        else:
            start = 8
            end = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(self._data) or size > end - start:
            raise ValueError("it ends too early")
        content = self._data[start : start + size]
        self._data = self._data[end:]
        return kind, content

    def numbers(self) -> NDArray[np.generic]:
        """The next element's numbers."""
        kind, content = self.next()
        if kind not in _NUMBERS:
            raise ValueError(f"numbers of the unknown type {kind}")
        return np.frombuffer(content, dtype=np.dtype(self.order + _NUMBERS[kind]))


def shapes(entry: Entry) -> dict[str, tuple[int, ...]]:
    """Shape of every variable of a file, from the heads alone."""
    name = place(entry)
    try:
        return {array.name: array.shape for array in (_head(part, order) for part, order in _parts(entry.read(), name))}
    except InputError:
        raise
    except (ValueError, struct.error, zlib.error) as error:
        raise _damaged(name, error) from error


def read_map(entry: Entry, variable: str, field: str | None = None) -> NDArray[np.int64]:
    """A label map (H, W): a variable of a file, or a field of a 1x1 struct.

    Args:
        entry: the file.
        variable: its name; no other variable is decompressed.
        field: of the struct.

    Raises:
        InputError: no MATLAB file, damaged, without the variable, or it is no map of whole numbers.
    """
    name = place(entry)
    try:
        for part, order in _parts(entry.read(), name):
            if _head(part, order).name == variable:
                array = _head(_whole(part, order), order)
                return _label(array if field is None else _field(array, field, name), name, field or variable)
    except InputError:
        raise
    except (ValueError, struct.error, zlib.error) as error:
        raise _damaged(name, error) from error
    raise InputError(f"{name} has no variable {variable}: it is no label of this data set.")


def _parts(data: bytes, name: str) -> Iterator[tuple[tuple[int, memoryview], str]]:
    """The variables as elements, and the order of the bytes."""
    if data[124:128] == b"\x00\x02IM" or data[:8] == b"\x89HDF\r\n\x1a\n":
        raise InputError(f"{name} is a MATLAB 7.3 file: store it again with save -v7.")
    orders = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
    if data[124:128] not in orders:
        raise ValueError("it does not begin like one")
    elements = _Elements(data[128:], orders[data[124:128]])
    while elements:
        yield elements.next(), elements.order


def _head(part: tuple[int, memoryview], order: str) -> _Array:
    """What the head of a variable says; of a compressed one only the head is decompressed."""
    kind, content = part
    if kind == _COMPRESSED:
        start = zlib.decompressobj().decompress(content, _HEAD)
        (kind,), content = struct.unpack_from(order + "I", start), memoryview(start)[8:]
    if kind != _MATRIX:
        raise ValueError(f"a variable of the unknown type {kind}")
    elements = _Elements(content, order)
    flags, shape = elements.numbers(), elements.numbers()
    _, text = elements.next()
    lengths: list[int] = shape.tolist()
    if (
        flags.dtype.kind != "u"
        or len(flags) != 2
        or shape.dtype.kind not in "iu"
        or len(lengths) < 2
        or min(lengths) < 0
    ):
        raise ValueError("a variable without class or shape")
    flag: int = flags[0].item()
    kind = flag & 0xFF if not flag & _COMPLEX else 0
    return _Array(bytes(text).decode("latin-1"), kind, tuple(lengths), elements)


def _whole(part: tuple[int, memoryview], order: str) -> tuple[int, memoryview]:
    """A variable, decompressed."""
    kind, content = part
    if kind != _COMPRESSED:
        return part
    stream = zlib.decompressobj()
    data = stream.decompress(content, _LARGEST)
    if not stream.eof:
        raise ValueError(f"a variable ends too early, or has more than {_LARGEST} bytes")
    return _Elements(data, order).next()


def _field(array: _Array, field: str, name: str) -> _Array:
    """A field of a struct."""
    if array.kind != _STRUCT or math.prod(array.shape) != 1:
        raise InputError(f"{name}: variable {array.name} is no struct of 1x1, so no label of this data set.")
    (length,) = array.rest.numbers().tolist()
    _, text = array.rest.next()
    if not isinstance(length, int) or length < 1:
        raise ValueError("a struct without names")
    for start in range(0, len(text), length):
        part = array.rest.next()
        if bytes(text[start : start + length]).split(b"\0")[0] == field.encode():
            return _head(part, array.rest.order)
    raise InputError(f"{name}: struct {array.name} has no field {field}: it is no label of this data set.")


def _label(array: _Array, name: str, what: str) -> NDArray[np.int64]:
    """The numbers of an array."""
    size = math.prod(array.shape)
    if (
        not _DOUBLE <= array.kind <= _UINT64
        or len(array.shape) != 2
        or not 0 < size <= (Image.MAX_IMAGE_PIXELS or size)
    ):
        raise InputError(f"{name}: {what}, of shape {array.shape} and MATLAB's class {array.kind}, is no label map.")
    values = array.rest.numbers()
    if len(values) != size:
        raise ValueError(f"{len(values)} numbers in a map of {size}")
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    if (whole != values).any():
        raise InputError(f"{name}: {what} holds values that are no whole numbers.")
    return whole.reshape(array.shape, order="F")


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"{name} cannot be read as a MATLAB file ({error}): it is damaged or none.")
