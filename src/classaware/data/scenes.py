"""Drawing of one labeled scene with a context bias, in integer arithmetic only: every platform gives the same pixels.

"Stuff" regions (grass, sand, water, snow) are easy to tell by color. "Things" are bumpy blobs that lie on a region and
differ only by a faint pattern under strong noise, so that the region below a thing says more than the thing itself.
All fields are fixed-point integers; there is no float and no transcendental function.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.data.hashing import Stream, byte

IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]

STUFF = ("grass", "sand", "water", "snow")
THINGS = ("cow", "sheep", "camel", "lizard", "boat", "duck", "bear", "penguin")
CLASS_NAMES = STUFF + THINGS
"""Class indices: the stuff first, then the things."""

PALETTE = (
    *((96, 160, 64), (224, 196, 128), (64, 128, 192), (216, 224, 236)),
    *(
        (160, 64, 32),
        (240, 128, 96),
        (128, 64, 128),
        (200, 96, 200),
        (192, 32, 64),
        (248, 200, 0),
        (64, 48, 32),
        (0, 0, 64),
    ),
)
"""Color of every class in painted label maps."""

FAVORITES = {len(STUFF) + thing: thing // 2 for thing in range(len(THINGS))}
"""Class index of every thing -> class index of the stuff that it usually lies on."""

_BASE = ((88, 128, 62), (192, 168, 118), (62, 106, 148), (208, 214, 224))
_THING_COLOR = (134, 116, 102)
_TINTS = (
    (30, 0, -10),
    (-10, 30, 0),
    (0, -10, 30),
    (24, 24, -24),
    (-24, 24, 24),
    (24, -24, 24),
    (-30, 0, 10),
    (10, -30, 0),
)

_QUARTER = (0, 25, 50, 74, 98, 121, 142, 162, 181, 198, 213, 226, 237, 245, 251, 255, 256)
_SINE = np.array(
    [*_QUARTER, *_QUARTER[-2::-1], *(-v for v in _QUARTER[1:]), *(-v for v in _QUARTER[-2:0:-1])], dtype=np.int32
)
"""256 * sin(2 pi k / 64) for k = 0 .. 63."""


class Placement(NamedTuple):
    """One thing of a scene: its class index and the class index of the stuff it was laid on."""

    thing: int
    stuff: int


class Scene(NamedTuple):
    """A drawn scene: ``image`` uint8 (size, size, 3), ``label`` uint8 (size, size), and what lies where."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    placements: tuple[Placement, ...]


def sine(phase: IntArray) -> IntArray:
    """Return 256 * sin(2 pi phase / 64), from a table."""
    return _SINE[phase & 63]


def value_noise(stream: Stream, height: int, width: int, cell_y: int, cell_x: int) -> IntArray:
    """Return smooth noise (height, width) in [-128, 127]: random lattice values, interpolated bilinearly."""
    y, x = np.arange(height, dtype=np.int32), np.arange(width, dtype=np.int32)
    lattice: IntArray = byte(stream.words(height // cell_y + 2, width // cell_x + 2), 7)
    row, column = y // cell_y, x // cell_x
    part_y: IntArray = (y % cell_y)[:, None]
    part_x: IntArray = x % cell_x
    rows: IntArray = (lattice[row] * (cell_y - part_y) + lattice[row + 1] * part_y) // cell_y
    return (rows[:, column] * (cell_x - part_x) + rows[:, column + 1] * part_x) // cell_x


def _regions(stream: Stream, size: int, stuff: tuple[int, ...]) -> IntArray:
    """Return the stuff index of every pixel: one region, or two with a slanted or wavy border near the center."""
    if len(stuff) == 1:
        return np.full((size, size), stuff[0], dtype=np.int32)
    axis = np.arange(size, dtype=np.int32)
    y, x = axis[:, None] - size // 2, axis[None, :] - size // 2
    angle = stream.integer(0, 64)
    cos, sin = int(_SINE[(angle + 16) & 63]), int(_SINE[angle])
    across, along = x * cos + y * sin, y * cos - x * sin
    wave = sine(along * stream.integer(1, 4) // (size * 4) + stream.integer(0, 64)) * stream.integer(0, size // 12)
    offset = stream.integer(-size // 8, size // 8 + 1) * 256
    return np.where(across + wave > offset, np.int32(stuff[0]), np.int32(stuff[1]))


def _stuff_texture(stream: Stream, kind: int, size: int, grain: IntArray) -> IntArray:
    """Return the brightness pattern (size, size) of one kind of stuff, about +-40."""
    if kind == 0:  # grass: short upright blades
        return (value_noise(stream, size, size, 8, 2) * 40 + grain * 14) >> 7
    if kind == 1:  # sand: fine grain on broad dunes
        return (value_noise(stream, size, size, 16, 32) * 16 + grain * 26) >> 7
    if kind == 2:  # water: horizontal waves that bend
        rows = np.arange(size, dtype=np.int32)[:, None] * stream.integer(6, 10)
        bend = value_noise(stream, size, size, 16, 32) >> 2
        return (sine(rows + bend) * 11 + grain * 6) >> 7
    return (value_noise(stream, size, size, 16, 16) * 24 + grain * 6) >> 7  # snow: soft lumps


def _paint_stuff(stream: Stream, kind: int, size: int, grain: IntArray) -> IntArray:
    """Return one kind of stuff as RGB (size, size, 3), with its own brightness and color shift."""
    brightness = stream.integer(-20, 21)
    color = [_BASE[kind][c] + brightness + stream.integer(-10, 11) for c in range(3)]
    texture = _stuff_texture(stream, kind, size, grain)
    return texture[:, :, None] + np.array(color, dtype=np.int32)


def _pattern(stream: Stream, kind: int, y: IntArray, x: IntArray, size: int) -> IntArray:
    """Return the pattern of a thing, -1 or +1, at the offsets ``y`` (h, 1) and ``x`` (1, w) from its center.

    No pattern becomes that of another class when it is mirrored or made larger or smaller.
    """
    half = max(stream.integer(size * 3 // 128, size * 5 // 128 + 1), 2)
    y, x = y + size * 4 + stream.integer(-half, half), x + size * 4 + stream.integer(-half, half)
    x_slant = x if stream.integer(0, 2) else size * 8 - x
    dy, dx = y - size * 4, x - size * 4
    on = (
        (y // half) % 2 + 0 * x,  # horizontal stripes
        (x // half) % 2 + 0 * y,  # upright stripes
        (y // half + x // half) % 2,  # checks
        ((y + x_slant) * 2 // (half * 3)) % 2,  # slanted stripes, to either side
        ((y % (2 * half) - half) ** 2 + (x % (2 * half) - half) ** 2) * 5 < half * half * 3,  # dots
        (dy * dy + dx * dx) // (half * half * 5) % 2,  # rings, narrower outwards
        ((y + abs(x % (4 * half) - 2 * half)) // half) % 2,  # zigzag
        ((dy > 0) ^ (dx > 0) ^ (abs(dy) > abs(dx))) + 0,  # wedges
    )[kind]
    return np.asarray(on, dtype=np.int32) * 2 - 1


def _blob(stream: Stream, y: IntArray, x: IntArray, radius: int) -> BoolArray:
    """Return a bumpy rotated ellipse or rounded polygon at the offsets ``y`` (h, 1) and ``x`` (1, w)."""
    angle, stretch, sides = stream.integer(0, 64), stream.integer(256, 385), stream.integer(4, 7)
    cos, sin = int(_SINE[(angle + 16) & 63]), int(_SINE[angle])
    u = (x * cos + y * sin) * 256 // (radius * stretch)
    v = (y * cos - x * sin) * stretch // (radius * 256)
    squared = u * u + v * v
    if stream.integer(0, 2):
        corner = np.zeros_like(squared)
        for side in range(sides):
            turn = side * 64 // sides
            corner = np.maximum(corner, (u * int(_SINE[(turn + 16) & 63]) + v * int(_SINE[turn])) >> 8)
        squared = (squared + 2 * corner * corner) // 3
    bump = value_noise(stream, y.size, x.size, max(radius // 2, 1), max(radius // 2, 1))
    return squared < 65536 + bump * 220


def _center(stream: Stream, free: BoolArray, radius: int) -> tuple[int, int, int]:
    """Return the best of 24 random places (y, x) and the percentage of the box around it that is free."""
    size = free.shape[0]
    total = np.zeros((size + 1, size + 1), dtype=np.int32)
    total[1:, 1:] = free.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    words = stream.words(24)
    span = np.uint64(size - 2 * radius)
    y = ((words >> np.uint64(32)) % span).astype(np.int32) + radius
    x = ((words & np.uint64(0xFFFFFFFF)) % span).astype(np.int32) + radius
    half = max(radius * 7 // 8, 1)
    inside = (
        total[y + half, x + half] - total[y - half, x + half] - total[y + half, x - half] + total[y - half, x - half]
    )
    best = int(inside.argmax())
    return int(y[best]), int(x[best]), int(inside[best]) * 100 // (4 * half * half)


def _choose_thing(stream: Stream, stuff: tuple[int, ...], below: int, in_context: int) -> int:
    """Return a thing to lie on ``below``: in ``in_context`` of 1000 cases one that favors it, otherwise another.

    With ``in_context`` 0 the favorite stuff of the thing is nowhere in the image.
    """
    if stream.integer(0, 1000) < in_context:
        choice = [thing for thing, favorite in FAVORITES.items() if favorite == below]
    else:
        avoid = (below,) if in_context else stuff
        choice = [thing for thing, favorite in FAVORITES.items() if favorite not in avoid]
    return choice[stream.integer(0, len(choice))]


def draw_scene(key: tuple[int, ...], size: int, in_context: int, cue: int) -> Scene:
    """Draw one scene.

    Args:
        key: integers that name the scene; the same key gives the same scene. The layout does not depend on ``cue``.
        size: side of the square image in pixels, at least 32.
        in_context: of 1000 things, how many lie on their favorite stuff (0: none, and it is not in the image at all).
        cue: strength of the pattern of the things against the noise, 0 (invisible) to 256 (no noise).
    """
    stream = Stream(*key)
    first = stream.integer(0, len(STUFF))
    stuff = (first, (first + stream.integer(1, len(STUFF))) % len(STUFF))[: stream.integer(1, 3)]
    label = _regions(stream, size, stuff)
    grain = stream.words(size, size)
    image = _paint_stuff(stream, stuff[0], size, byte(grain, 0))
    for other in stuff[1:]:
        image = np.where((label == other)[:, :, None], _paint_stuff(stream, other, size, byte(grain, 1)), image)
    placements: list[Placement] = []
    for number in range(stream.integer(1, 4)):
        below = stuff[stream.integer(0, len(stuff))]
        thing = _choose_thing(stream, stuff, below, in_context)
        if _lay(Stream(*key, number), image, label, grain, Placement(thing, below), cue, first=number == 0):
            placements.append(Placement(thing, below))
    return Scene(np.clip(image, 0, 255).astype(np.uint8), label.astype(np.uint8), tuple(placements))


def _lay(
    stream: Stream,
    image: IntArray,
    label: IntArray,
    grain: NDArray[np.uint64],
    placement: Placement,
    cue: int,
    *,
    first: bool,
) -> bool:
    """Draw one thing into ``image`` and ``label``; later things find no place where the region is full."""
    size = label.shape[0]
    radius = math.isqrt(stream.integer(30, 111) * size * size * 113 // (355 * 1000))
    center_y, center_x, free = _center(stream, label == placement.stuff, radius)
    if free < 70 and not first:
        return False
    reach = radius * 2
    rows = slice(max(center_y - reach, 0), min(center_y + reach, size))
    columns = slice(max(center_x - reach, 0), min(center_x + reach, size))
    axis = np.arange(size, dtype=np.int32)
    y, x = (axis[rows] - center_y)[:, None], (axis[columns] - center_x)[None, :]
    inside = _blob(stream, y, x, radius) & (label[rows, columns] < len(STUFF))
    kind = placement.thing - len(STUFF)
    pattern = _pattern(stream, kind, y, x, size) * (72 * cue)
    lumps = value_noise(stream, y.size, x.size, max(size // 32, 1), max(size // 32, 1))
    shade = stream.integer(-30, 31)
    for channel in range(3):
        noise = (lumps * 3 + byte(grain[rows, columns], 3 + channel) * 3) >> 2
        color = _THING_COLOR[channel] + shade + stream.integer(-24, 25) + (_TINTS[kind][channel] * cue >> 8)
        value = color + ((pattern + noise * (256 - cue)) >> 8)
        np.copyto(image[rows, columns, channel], value, where=inside)
    np.copyto(label[rows, columns], np.int32(placement.thing), where=inside)
    return True
