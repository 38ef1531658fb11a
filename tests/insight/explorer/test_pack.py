import io

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_explorer import Content

from classaware.errors import InputError
from classaware.insight.explorer.pack import (
    Blobs,
    base64_bytes,
    class_type,
    feature_bytes,
    pack_features,
    pack_image,
    pack_prediction,
    shown_label,
    shown_size,
)
from classaware.insight.explorer.page import render_page
from classaware.insight.explorer.projection import Quantized
from classaware.insight.subject import Look


def unpack(blobs: Blobs) -> Content:
    return Content(render_page("", {}, blobs.texts))


@pytest.mark.parametrize(
    ("size", "shown"),
    [((48, 64), (48, 64)), ((512, 512), (512, 512)), ((300, 1030), (149, 512)), ((4000, 1), (512, 1))],
)
def test_images_are_shown_with_at_most_512_pixels(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert shown_size(*size) == shown


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (600, 9), (513, 1025)])
def test_labels_are_those_of_the_nearest_pixel(size: tuple[int, int]) -> None:
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 9, size))
    label[0, 0] = 255
    small = shown_label(label, 9)
    height, width = shown_size(*size)
    assert small.shape == (height, width)
    assert small.dtype == np.uint8
    for row in range(0, height, 37):
        for column in range(0, width, 41):
            y = int(np.floor(row * (size[0] - 1) / max(height - 1, 1) + 0.5))
            x = int(np.floor(column * (size[1] - 1) / max(width - 1, 1) + 0.5))
            assert small[row, column] == label[y, x]


def test_no_class_is_the_largest_value() -> None:
    label = torch.tensor([[0, 254, 255, -1, 300]])
    assert shown_label(label, 255).tolist() == [[0, 254, 255, 255, 255]]
    assert shown_label(label, 256).tolist() == [[0, 254, 255, 65535, 65535]]
    assert class_type(171) is np.uint8
    assert class_type(256) is np.uint16
    with pytest.raises(InputError, match="65536 classes"):
        class_type(65536)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_come_back(dtype: type) -> None:
    array = (np.random.default_rng(0).random((3, 4, 5)) * 200).astype(dtype)
    blobs = Blobs()
    reference = blobs.add(array)
    back = unpack(blobs).array(reference)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)


def test_the_size_is_never_more_than_was_foreseen() -> None:
    rng = np.random.default_rng(0)
    for cells, count in ((1, 1), (63, 7), (4225, 92), (10_000, 50)):
        blobs = Blobs()
        levels = rng.integers(0, 256, (cells, count)).astype(np.uint8)  # cannot be compressed
        pack_features(blobs, Quantized(levels, *rng.random((2, count)).astype(np.float32), (cells, 1)))
        real = len(render_page("", {}, blobs.texts)) - len(render_page("", {}, []))
        assert real <= blobs.size <= feature_bytes(cells, count)
    assert base64_bytes(0) > 0


def test_an_image_is_packed_with_its_classes() -> None:
    label = torch.zeros(600, 300, dtype=torch.int64)
    label[:100] = 4
    label[300:] = 255
    image = torch.full((3, 600, 300), 90, dtype=torch.uint8)
    blobs = Blobs()
    entry = pack_image(blobs, "x", image, label, 5)
    page = unpack(blobs)
    assert entry["size"] == [600, 300]
    assert entry["shown"] == [512, 256]
    assert entry["classes"] == [0, 4]
    picture = Image.open(io.BytesIO(page.file(entry["picture"])))
    assert picture.size == (256, 512)
    assert np.asarray(picture.convert("RGB")).tolist() == np.full((512, 256, 3), 90).tolist()
    assert page.array(entry["truth"]).shape == (512, 256)


def test_probabilities_are_the_softmax_of_every_cell() -> None:
    logits = 3 * torch.randn(171, 4, 3, generator=torch.Generator().manual_seed(0))
    blobs = Blobs()
    prediction = torch.full((9, 8), 170)
    entry = pack_prediction(blobs, "net", Look(logits, torch.zeros(1, 4, 3)), prediction, 171)
    page = unpack(blobs)
    top, shares = page.array(entry["top"]), page.array(entry["shares"])
    exact = np.exp(logits.double().numpy())
    exact /= exact.sum(axis=0)
    assert shares.shape == (2, 5, 4, 3)
    shares = (256 * shares[0].astype(int) + shares[1]).transpose(1, 2, 0)
    assert top.shape == (4, 3, 5)
    assert page.array(entry["prediction"]).tolist() == prediction.tolist()
    for row in range(4):
        for column in range(3):
            order = np.argsort(-exact[:, row, column])[:5]
            assert top[row, column].tolist() == order.tolist()
            np.testing.assert_allclose(shares[row, column] / 1000, exact[order, row, column], atol=5.01e-4)


def test_two_classes_have_two_probabilities() -> None:
    blobs = Blobs()
    entry = pack_prediction(blobs, "net", Look(torch.zeros(2, 1, 1), torch.zeros(1, 1, 1)), torch.zeros(1, 1).long(), 2)
    assert unpack(blobs).array(entry["shares"]).tolist() == [[[[1]], [[1]]], [[[244]], [[244]]]]


def test_logits_that_are_not_finite_are_refused() -> None:
    look = Look(torch.full((2, 1, 1), torch.nan), torch.zeros(1, 1, 1))
    with pytest.raises(InputError, match=r"'mine'.*nan"):
        pack_prediction(Blobs(), "mine", look, torch.zeros(1, 1).long(), 2)
