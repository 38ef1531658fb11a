"""The three terms of CAR (ECCV 2022) once more, in plain Python loops over float64 numbers.

Nothing here comes from `classaware`: the module under test is compared with it, so this file favors being obvious over
being fast. Features are nested lists [image][channel][row][column], labels [image][row][column].

Stopped sides are an argument: `terms(..., frozen=centers)` uses `centers` wherever the training must see no gradient.
With `frozen` from an earlier call, a finite difference of this function is the gradient that autograd has to give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

Vector = list[float]
Centers = list[list[Vector | None]]  # [group][class], one group for the batch or one per image; None: absent

PRESETS = {
    "released": ("square_of_mean", "sqrt_channels", "count", "zero_center"),
    "paper": ("mean_of_squares", "none", "count", "zero_center"),
    "masked": ("mean_of_squares", "sqrt_channels", "exclude", "exclude"),
}
KNOBS = ("reduction", "c2p_scale", "ignored", "absent")


@dataclass(frozen=True)
class Spec:
    """What the module is told, one name for one name."""

    num_classes: int
    ignore_index: int = 255
    reduction: str = "square_of_mean"
    c2p_scale: str = "sqrt_channels"
    ignored: str = "count"
    absent: str = "zero_center"
    c2c_margin: float = 0.5
    c2p_margin: float = 0.25
    centers: str = "batch"
    ema_decay: float = 0.9
    pool: int = 1
    drop_max: bool = False

    @classmethod
    def preset(cls, name: str, num_classes: int, **changes: object) -> Spec:
        return cls(num_classes, **{**dict(zip(KNOBS, PRESETS[name], strict=True)), **changes})  # type: ignore[arg-type]

    def valid(self, label: int) -> bool:
        return 0 <= label < self.num_classes and label != self.ignore_index


class Result(NamedTuple):
    intra_c2p: float
    inter_c2c: float
    inter_c2p: float
    centers: Centers


# ---------------------------------------------------------------------------------------------------- preparation
def source_indices(size_in: int, size_out: int) -> list[int]:
    """Nearest with aligned corners, halves upwards."""
    if size_out == 1:
        return [0]
    return [math.floor(Fraction(i * (size_in - 1), size_out - 1) + Fraction(1, 2)) for i in range(size_out)]


def resize_labels(labels: list, height: int, width: int) -> list:
    rows, columns = source_indices(len(labels[0]), height), source_indices(len(labels[0][0]), width)
    return [[[image[r][c] for c in columns] for r in rows] for image in labels]


def windows(size: int, rate: int) -> list[range]:
    """The cells under each pooling window, padding already left out (TF's SAME: the odd cell is at the end)."""
    count = math.ceil(size / rate)
    before = (count * rate - size) // 2
    starts = [i * rate - before for i in range(count)]
    return [range(max(s, 0), min(s + rate, size)) for s in starts]


def pool_plane(plane: list, rate: int) -> list:
    rows, columns = windows(len(plane), rate), windows(len(plane[0]), rate)
    cells = [[[plane[r][c] for r in rr for c in cc] for cc in columns] for rr in rows]
    return [[math.fsum(cell) / len(cell) for cell in row] for row in cells]


def flatten(features: list, labels: list, spec: Spec) -> tuple[list[list[Vector]], list[list[int]]]:
    """Pixels [image][pixel][channel] and their labels [image][pixel]."""
    labels = resize_labels(labels, len(features[0][0]), len(features[0][0][0]))
    if spec.pool > 1:
        features = [[pool_plane(plane, spec.pool) for plane in image] for image in features]
        labels = resize_labels(labels, len(features[0][0]), len(features[0][0][0]))
    pixels = [
        [[plane[r][c] for plane in image] for r in range(len(image[0])) for c in range(len(image[0][0]))]
        for image in features
    ]
    return pixels, [[label for row in image for label in row] for image in labels]


# -------------------------------------------------------------------------------------------------------- centers
def mean_per_class(pixels: list[Vector], labels: list[int], spec: Spec) -> list[Vector | None]:
    means: list[Vector | None] = []
    for k in range(spec.num_classes):
        mine = [x for x, y in zip(pixels, labels, strict=True) if y == k and spec.valid(y)]
        means.append([math.fsum(column) / len(mine) for column in zip(*mine, strict=True)] if mine else None)
    return means


def moved(running: list[Vector | None], batch: list[Vector | None], decay: float) -> list[Vector | None]:
    out: list[Vector | None] = []
    for old, new in zip(running, batch, strict=True):
        if new is None:
            out.append(old)
        elif old is None:
            out.append(new)
        else:
            out.append([o + (1 - decay) * (n - o) for o, n in zip(old, new, strict=True)])
    return out


def find_centers(
    pixels: list, labels: list, spec: Spec, running: list[Vector | None] | None, training: bool
) -> Centers:
    if spec.centers == "image":
        return [mean_per_class(x, y, spec) for x, y in zip(pixels, labels, strict=True)]
    batch = mean_per_class([x for image in pixels for x in image], [y for image in labels for y in image], spec)
    if spec.centers == "batch":
        return [batch]
    running = running or [None] * spec.num_classes
    return [moved(running, batch, spec.ema_decay) if training else running]


# ---------------------------------------------------------------------------------------------------------- terms
def dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def softmax(values: Vector) -> Vector:
    top = max(values, default=0.0)
    powers = [math.exp(v - top) for v in values]
    return [p / math.fsum(powers) for p in powers]


def excess(shares: Vector, threshold: float) -> float:
    return math.fsum(a - threshold for a in shares if a > threshold)


def columns(centers: list[Vector | None], width: int, spec: Spec) -> dict[int, Vector]:
    """The classes that take part, by number; an absent one is the zero vector or is not there."""
    if spec.absent == "zero_center":
        return {k: mu if mu is not None else [0.0] * width for k, mu in enumerate(centers)}
    return {k: mu for k, mu in enumerate(centers) if mu is not None}


def reduce(sums: Vector, spec: Spec) -> float:
    """Of one number per row or pixel to the term."""
    if not sums:
        return 0.0
    if spec.reduction == "mean_of_squares":
        return math.fsum(s * s for s in sums) / len(sums)
    return (math.fsum(min(max(s, 1e-7), 1 - 1e-7) for s in sums) / len(sums)) ** 2


def inter_c2c(query: Centers, key: Centers, width: int, spec: Spec) -> float:
    rows = []
    for query_group, key_group in zip(query, key, strict=True):
        queries, keys = columns(query_group, width, spec), columns(key_group, width, spec)
        threshold = spec.c2c_margin / max(len(keys) - 1, 1)
        for i, q in queries.items():
            shares = softmax([dot(q, k) / math.sqrt(width) for k in keys.values()])
            rows.append(excess([a for j, a in zip(keys, shares, strict=True) if j != i], threshold))
    return reduce(rows, spec)


def inter_c2p(pixels: list, labels: list, centers: Centers, width: int, spec: Spec) -> float:
    scale = math.sqrt(width) if spec.c2p_scale == "sqrt_channels" else 1.0
    sums = []
    for n, (image, image_labels) in enumerate(zip(pixels, labels, strict=True)):
        keys = columns(centers[n if len(centers) > 1 else 0], width, spec)
        threshold = spec.c2p_margin / max(len(keys) - 1, 1)
        for x, y in zip(image, image_labels, strict=True):
            if spec.ignored == "exclude" and not spec.valid(y):
                continue
            own = y if spec.valid(y) else None
            shares = softmax([dot(k if j == own else x, k) / scale for j, k in keys.items()])
            sums.append(excess([a for j, a in zip(keys, shares, strict=True) if j != own], threshold))
    return reduce(sums, spec)


def intra_c2p(pixels: list, labels: list, centers: Centers, width: int, spec: Spec) -> float:
    power = 2 if spec.reduction == "mean_of_squares" else 1
    total, elements = [], 0
    for n, (image, image_labels) in enumerate(zip(pixels, labels, strict=True)):
        group = centers[n if len(centers) > 1 else 0]
        for c in range(width):
            distances = []
            for x, y in zip(image, image_labels, strict=True):
                if spec.valid(y):
                    mu = group[y]
                    distances.append(abs((mu[c] if mu is not None else 0.0) - x[c]))
                elif spec.ignored == "count":
                    distances.append(0.0)
            if spec.drop_max:
                distances = sorted(distances)[:-1]
            total += [d**power for d in distances]
            elements += len(distances)
    if elements == 0:
        return 0.0
    mean = math.fsum(total) / elements
    return mean if power == 2 else max(mean**2, 1e-5)


def terms(
    features: list,
    labels: list,
    spec: Spec,
    running: list[Vector | None] | None = None,
    training: bool = True,
    frozen: Centers | None = None,
) -> Result:
    """The three unweighted terms, and the centers (centers="ema" in training: the running ones after this batch)."""
    pixels, flat = flatten(features, labels, spec)
    width = len(features[0])
    centers = find_centers(pixels, flat, spec, running, training)
    stopped = centers if frozen is None else frozen
    return Result(
        intra_c2p(pixels, flat, stopped, width, spec),
        inter_c2c(centers, stopped, width, spec),
        inter_c2p(pixels, flat, stopped, width, spec),
        centers,
    )
