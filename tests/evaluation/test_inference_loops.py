"""Whole, sliding and multi-scale inference against loops over pixels in float64."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from classaware.evaluation.inference import Inference
from classaware.evaluation.score_map import label_map

Scores = NDArray[np.float64]  # (channels, height, width)


class Network(nn.Module):
    """Logits at a quarter of the resolution that depend on a pixel's surroundings and on the image's border."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.Tanh(), nn.Conv2d(6, num_classes, 3, stride=2, padding=1)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = 8 * self.layers(images)
        return logits


NETWORK, DOUBLE = Network().eval(), Network().double().eval()


class Way(NamedTuple):
    """Arguments of `Inference`, for the loops."""

    image_size: tuple[int, int] | None = None
    pad_size: tuple[int, int] | None = None
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    average: str = "logits"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False


def weights(size_in: int, size_out: int) -> NDArray[np.float64]:
    """How much of every source pixel is in every pixel of the result, along one side."""
    matrix = np.zeros((size_out, size_in))
    for i in range(size_out):
        at = Fraction(i * (size_in - 1), max(size_out - 1, 1))
        lower = math.floor(at)
        matrix[i, lower] += float(1 - (at - lower))
        matrix[i, min(lower + 1, size_in - 1)] += float(at - lower)
    return matrix


def bilinear(x: Scores, height: int, width: int) -> Scores:
    rows, columns = weights(x.shape[1], height), weights(x.shape[2], width)
    return np.stack([rows @ plane @ columns.T for plane in x])


def padded(x: Scores, height: int, width: int) -> Scores:
    result = np.full((len(x), max(height, x.shape[1]), max(width, x.shape[2])), 127.5 / 255)
    result[:, : x.shape[1], : x.shape[2]] = x
    return result


def run(image: Scores) -> Scores:
    with torch.no_grad():
        logits: Scores = DOUBLE(torch.from_numpy(image.copy())[None])[0].numpy()
    return logits


def starts(size: int, window: int, stride: int) -> list[int]:
    found = [0]
    while found[-1] + window < size:
        found.append(min(found[-1] + stride, size - window))
    return found


def softmax(x: Scores) -> Scores:
    powers: Scores = np.exp(x - x.max(0))
    return powers / powers.sum(0)


def windowed(image: Scores, way: Way) -> Scores:
    height, width = way.window or image.shape[1:]
    canvas = padded(image, height, width)
    step = way.stride or (height * 2 // 3, width * 2 // 3)
    total, count = 0.0, np.zeros(canvas.shape[1:])
    for top in starts(canvas.shape[1], height, step[0]):
        for left in starts(canvas.shape[2], width, step[1]):
            scores = bilinear(run(canvas[:, top : top + height, left : left + width]), height, width)
            full = np.zeros((len(scores), *canvas.shape[1:]))
            full[:, top : top + height, left : left + width] = softmax(scores) if "prob" in way.average else scores
            total = total + full
            count[top : top + height, left : left + width] += 1
    return np.asarray(total / count)[:, : image.shape[1], : image.shape[2]]


def by_loops(image: Tensor, way: Way, size: tuple[int, int]) -> Scores:
    """Scores at the label's size; images are small enough for scores at every size on the way."""
    original = image.double().numpy() / 255
    base = bilinear(original, *(way.image_size or original.shape[1:]))
    full = padded(base, *(way.pad_size or (1, 1)))
    total = 0.0
    for scale in way.scales:
        scaled = full
        if scale != 1:
            sides = [int(scale * side) for side in full.shape[1:]]
            source = original if full.shape == base.shape else full  # one resizing, unless padding lies between two
            scaled = bilinear(source, *(side if side % 2 else side + 1 for side in sides))
        for mirror in (False, True)[: 1 + way.flip]:
            seen = scaled[:, :, ::-1] if mirror else scaled
            scores = windowed(seen, way) if way.window or way.average != "logits" else run(seen)
            if mirror:
                scores = scores[:, :, ::-1]
            if full.shape != base.shape:
                scores = bilinear(scores, *full.shape[1:])[:, : base.shape[1], : base.shape[2]]
            total = total + bilinear(scores, *size)
    return np.asarray(total)


def images(height: int, width: int, count: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
    return small


def assert_equal(labels: Tensor, scores: Scores) -> None:
    """Equal but where two classes are as good as equal; such pixels are few."""
    first, second = np.sort(scores, axis=0)[::-1][:2]
    clear = first - second > 1e-4 * np.abs(scores).max()
    assert clear.mean() > 0.99
    assert np.array_equal(labels.numpy()[clear], scores.argmax(0)[clear])
    assert len(np.unique(labels.numpy())) > 1


WAYS = {
    "whole": Way(),
    "whole, resized first": Way(image_size=(19, 26)),
    "whole, padded": Way(pad_size=(33, 41)),
    "whole, resized and padded on one side": Way(image_size=(20, 26), pad_size=(9, 33)),
    "whole, smaller scale": Way(scales=(0.6,)),
    "whole, resized first, scales": Way(image_size=(19, 40), scales=(0.6, 1.0)),
    "whole, scales and flip": Way(scales=(0.5, 1.0, 1.7), flip=True),
    "whole, padded, scales and flip": Way(pad_size=(33, 33), scales=(0.75, 1.0, 1.25), flip=True),
    "whole, probabilities": Way(scales=(0.75, 1.0), flip=True, average="probabilities"),
    "sliding": Way(window=(13, 13)),
    "sliding by a stride that ends flush": Way(window=(9, 10), stride=(7, 10)),
    "sliding by one pixel": Way(window=(21, 29), stride=(1, 1)),
    "sliding, probabilities": Way(window=(13, 15), average="probabilities"),
    "sliding, window larger than the image": Way(window=(37, 41)),
    "sliding, window higher than the image": Way(window=(41, 13), stride=(5, 5)),
    "sliding, window larger, flip": Way(window=(37, 41), flip=True),
    "sliding, padded": Way(pad_size=(33, 41), window=(17, 17), stride=(8, 11)),
    "sliding, scales and flip": Way(window=(17, 17), scales=(0.5, 1.0, 1.5), flip=True),
    "everything": Way((20, 28), (27, 35), (15, 17), (9, 6), "probabilities", (0.6, 1.0, 1.3), True),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("size", [(23, 31), (30, 20)])
def test_labels_equal_loops_over_pixels(name: str, size: tuple[int, int]) -> None:
    way, image = WAYS[name], images(23, 31)
    labels = Inference(**way._asdict()).predict(NETWORK, image, size)
    assert (labels.dtype, labels.shape) == (torch.int64, (1, *size))
    assert_equal(labels[0], by_loops(image[0], way, size))


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_any_sizes_equal_loops_over_pixels(data: st.DataObject) -> None:
    side = st.integers(1, 16)
    pair = st.none() | st.tuples(side, side)
    window = data.draw(st.none() | st.tuples(st.integers(5, 25), st.integers(5, 25)), "window")
    stride = None
    if window is not None:
        stride = data.draw(st.none() | st.tuples(*(st.integers(max(1, w // 2), w) for w in window)), "stride")
    scales = tuple(data.draw(st.lists(st.sampled_from([0.3, 0.5, 1.0, 1.4]), min_size=1, max_size=2), "scales"))
    average = data.draw(st.sampled_from(["logits", "probabilities"]), "average")
    way = Way(data.draw(pair), data.draw(pair), window, stride, average, scales, data.draw(st.booleans()))
    image = images(data.draw(side), data.draw(side))
    size = data.draw(st.tuples(side, side), "size")
    labels = Inference(**way._asdict()).predict(NETWORK, image, size)[0].numpy()
    scores = by_loops(image[0], way, size)
    chosen = np.take_along_axis(scores, labels[None], 0)[0]
    assert np.all(chosen >= scores.max(0) - 1e-4 * max(1.0, float(np.abs(scores).max())))


class Recorded(nn.Module):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return torch.zeros(len(x), 2, 2, 2)


@pytest.mark.parametrize(("scale", "size"), [(0.5, 257), (0.75, 385), (1.0, 513), (1.25, 641), (1.5, 769), (1.75, 897)])
def test_scaled_sides_are_the_authors(scale: float, size: int) -> None:
    network = Recorded()
    Inference(scales=(scale,)).predict(network, torch.zeros(1, 3, 513, 513, dtype=torch.uint8), (5, 5))
    assert [tuple(x.shape[-2:]) for x in network.seen] == [(size, size)]


def test_a_scale_of_one_leaves_even_sides() -> None:
    network = Recorded()
    Inference(scales=(1.0, 0.5)).predict(network, torch.zeros(1, 3, 40, 12), (5, 5))
    assert [tuple(x.shape[-2:]) for x in network.seen] == [(40, 12), (21, 7)]


def test_windows_start_at_multiples_of_the_stride_and_the_last_is_flush() -> None:
    network = Recorded()
    image = torch.arange(10 * 12).reshape(1, 1, 10, 12).expand(1, 3, 10, 12).to(torch.uint8)
    Inference(window=(6, 5), stride=(4, 3)).predict(network, image, (10, 12))
    corners = [round(float(x[0, 0, 0, 0]) * 255) for x in network.seen]
    assert corners == [12 * top + left for top in (0, 4) for left in (0, 3, 6, 7)]
    assert {tuple(x.shape[-2:]) for x in network.seen} == {(6, 5)}


def test_every_window_goes_through_the_network_once() -> None:
    network = Recorded()
    Inference(window=(9, 9), stride=(4, 5), scales=(1.0, 1.6), flip=True).predict(network, images(30, 40), (30, 40))
    corners = [(tuple(x.shape), x.flatten().tolist()) for x in network.seen]
    assert len(corners) == 2 * (7 * 8 + 11 * 13)
    assert len({str(corner) for corner in corners}) == len(corners)


def test_padding_is_the_middle_gray() -> None:
    network = Recorded()
    Inference(pad_size=(6, 7), flip=True).predict(network, torch.zeros(1, 3, 4, 5, dtype=torch.uint8), (4, 5))
    straight, mirrored = network.seen
    expected = torch.full((1, 3, 6, 7), 0.5)
    expected[:, :, :4, :5] = 0
    assert torch.equal(straight, expected)
    assert torch.equal(mirrored, expected.flip(-1))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_batches_equal_single_images_and_bytes_equal_floats(way: Way) -> None:
    batch = images(23, 31, count=3, seed=1)
    inference = Inference(**way._asdict())
    single = torch.cat([inference.predict(NETWORK, image[None], (23, 31)) for image in batch])
    assert (inference.predict(NETWORK, batch, (23, 31)) == single).float().mean() > 0.999
    floats = inference.predict(NETWORK, batch.float() / 255, (23, 31))
    assert (floats == inference.predict(NETWORK, batch, (23, 31))).float().mean() > 0.999


def in_bands(way: Way, image: Tensor, size: tuple[int, int], band_bytes: int) -> Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("classaware.evaluation.inference.label_map", lambda scores: label_map(scores, band_bytes))
        patch.setattr("classaware.evaluation.inference._AT_ONCE", 0)
        return Inference(**way._asdict()).predict(NETWORK, image, size)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(WAYS)), st.integers(1, 30_000), st.sampled_from([(23, 31), (40, 17)]))
def test_bands_change_no_label(name: str, band_bytes: int, size: tuple[int, int]) -> None:
    image = images(23, 31, seed=2)
    assert torch.equal(in_bands(WAYS[name], image, size, band_bytes), in_bands(WAYS[name], image, size, 2**40))


def score_rows(way: Way, image: Tensor, size: tuple[int, int]) -> Callable[[int, int], Tensor]:
    taken: list[Any] = []

    def keep(scores: Any) -> Tensor:
        taken.append(scores)
        return label_map(scores)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("classaware.evaluation.inference.label_map", keep)
        patch.setattr("classaware.evaluation.inference._AT_ONCE", 0)
        Inference(**way._asdict()).predict(NETWORK, image, size)
    rows: Callable[[int, int], Tensor] = taken[0].rows
    return rows


@pytest.mark.parametrize(
    "name", ["whole", "whole, padded, scales and flip", "sliding, padded", "sliding, scales and flip"]
)
def test_bands_change_no_bit_of_the_scores(name: str) -> None:
    size = (37, 29)
    rows = score_rows(WAYS[name], images(23, 31, seed=4), size)
    with torch.no_grad():
        whole = rows(0, 37)
        for height in (1, 2, 5, 36):
            parts = [rows(top, min(height, 37 - top)) for top in range(0, 37, height)]
            assert torch.equal(torch.cat(parts, -2), whole)
    scores = by_loops(images(23, 31, seed=4)[0], WAYS[name], size) / (2 if WAYS[name].flip else 1)
    torch.testing.assert_close(
        whole[0].double() * len(WAYS[name].scales), torch.from_numpy(scores), rtol=1e-4, atol=1e-4
    )
