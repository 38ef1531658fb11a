"""From logits to labels, the default way of inference, and what is refused."""

import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.errors import InputError
from classaware.evaluation.inference import Inference, predict_labels, resize_logits
from classaware.models import Backbone, FCNHead, Segmenter


def by_loop(plane: list[list[float]], height: int, width: int) -> list[list[float]]:
    """Bilinear with aligned corners from its definition."""

    def split(i: int, out: int, size: int) -> tuple[int, int, float]:
        at = i * (size - 1) / (out - 1) if out > 1 else 0.0
        low = min(int(at), size - 1)
        return low, min(low + 1, size - 1), at - low

    result = []
    for i in range(height):
        y0, y1, fy = split(i, height, len(plane))
        row = []
        for j in range(width):
            x0, x1, fx = split(j, width, len(plane[0]))
            top = plane[y0][x0] * (1 - fx) + plane[y0][x1] * fx
            bottom = plane[y1][x0] * (1 - fx) + plane[y1][x1] * fx
            row.append(top * (1 - fy) + bottom * fy)
        result.append(row)
    return result


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_resize_equals_a_loop(h: int, w: int, height: int, width: int, seed: int) -> None:
    logits = torch.randn(2, 3, h, w, generator=torch.Generator().manual_seed(seed))
    result = resize_logits(logits, (height, width))
    expected = torch.tensor([[by_loop(plane.tolist(), height, width) for plane in image] for image in logits])
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_result_is_at_least_float32(dtype: torch.dtype) -> None:
    logits = torch.randn(1, 2, 3, 3).to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    result = resize_logits(logits, (5, 5))
    assert result.dtype == wide
    assert torch.equal(result, resize_logits(logits.to(wide), (5, 5)))


def test_labels_equal_those_of_the_whole_batch_at_once() -> None:
    logits = torch.randn(5, 7, 9, 11, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = predict_labels(logits, (33, 41))
    assert labels.dtype == torch.int64
    assert torch.equal(labels, resize_logits(logits, (33, 41)).argmax(1))


def test_only_one_image_is_resized_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        seen.append(len(logits))
        return resize_logits(logits, size)

    monkeypatch.setattr("classaware.evaluation.inference.resize_logits", watched)
    predict_labels(torch.zeros(3, 2, 4, 4), (8, 8))
    assert seen == [1, 1, 1]


def test_bad_logits_are_named() -> None:
    with pytest.raises(InputError, match=r"\(2, 4, 4\)"):
        resize_logits(torch.zeros(2, 4, 4), (8, 8))
    with pytest.raises(InputError, match=r"\(0, 8\)"):
        resize_logits(torch.zeros(1, 2, 4, 4), (0, 8))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("size", [(50, 70), (37, 90)])
def test_the_default_is_the_network_and_one_resizing_to_the_bit(size: tuple[int, int], channels_last: bool) -> None:
    torch.manual_seed(0)
    network = Segmenter(Backbone("test_resnet"), lambda channels: FCNHead(channels, 8), 5).eval()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randint(0, 256, (2, 3, 50, 70), dtype=torch.uint8)
    with torch.no_grad():
        logits = network(images.float() / 255).logits
        plain = Inference().predict(lambda x: network(x).logits, images, size)
    expected = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=True).argmax(1)
    assert torch.equal(Inference().predict(network, images, size), expected)
    assert torch.equal(Inference().predict(network, images.float() / 255, size), expected)
    assert torch.equal(plain, expected)
    assert expected.unique().numel() > 1


def test_half_precision_logits_are_resized_in_float32() -> None:
    logits = torch.randn(1, 4, 5, 6, generator=torch.Generator().manual_seed(0)).half()
    images = torch.zeros(1, 3, 40, 48, dtype=torch.uint8)
    for arguments in ({}, {"flip": True}, {"window": (40, 48)}):
        half = Inference(**arguments).predict(lambda x: logits, images, (40, 48))
        full = Inference(**arguments).predict(lambda x: logits.float(), images, (40, 48))
        assert torch.equal(half, full)


def test_nothing_is_tracked_for_gradients() -> None:
    network = torch.nn.Conv2d(3, 2, 8, stride=8)
    labels = Inference(window=(16, 16)).predict(network, torch.zeros(1, 3, 20, 20), (20, 20))
    assert not labels.requires_grad
    assert network.weight.grad is None


def test_arguments_make_the_same_again() -> None:
    way = Inference((20, 30), (40, 50), (9, 13), None, "probabilities", (0.5, 1), True)
    assert way.arguments["stride"] == [6, 8]
    assert Inference(**way.arguments).arguments == way.arguments
    assert Inference(**Inference().arguments).arguments == Inference().arguments
    assert Inference().arguments["stride"] is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"image_size": (0, 5)}, "image_size=[0, 5]"),
        ({"image_size": (5,)}, "image_size=[5]"),
        ({"pad_size": (5, -1)}, "pad_size=[5, -1]"),
        ({"pad_size": 513}, "pad_size=513"),
        ({"window": (0, 0)}, "window=[0, 0]"),
        ({"window": (1.5, 2)}, "window=[1.5, 2]"),
        ({"window": "513"}, "window=513"),
        ({"stride": (5, 5)}, "stride=[5, 5] needs a window"),
        ({"window": (8, 8), "stride": (8, 9)}, "stride=[8, 9] leaves gaps"),
        ({"window": (8, 8), "stride": (0, 8)}, "stride=[0, 8]"),
        ({"average": "labels"}, "average='labels'"),
        ({"scales": ()}, "scales=()"),
        ({"scales": (1, 0)}, "scales=[1, 0]"),
        ({"scales": (float("nan"),)}, "scales=[nan]"),
        ({"scales": (float("inf"),)}, "scales=[inf]"),
        ({"scales": 1.0}, "scales=1.0"),
        ({"flip": "yes"}, "flip='yes'"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)):
        Inference(**arguments)


@pytest.mark.parametrize("shape", [(3, 5, 5), (1, 4, 5, 5), (1, 3, 0, 5)])
def test_bad_images_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=re.escape(str(shape))):
        Inference().predict(lambda x: x, torch.zeros(shape), (5, 5))


def test_a_bad_size_and_bad_logits_are_named() -> None:
    with pytest.raises(InputError, match=r"\(5, 0\)"):
        Inference().predict(lambda x: x, torch.zeros(1, 3, 5, 5), (5, 0))
    with pytest.raises(InputError, match=r"logits of shape \(3, 5\)"):
        Inference().predict(lambda x: x[0, :, 0], torch.zeros(1, 3, 5, 5), (5, 5))
    with pytest.raises(InputError, match=r"logits of shape \(1, 3, 5, 5\)"):
        Inference(window=(5, 5)).predict(lambda x: x[:1], torch.zeros(2, 3, 5, 5), (5, 5))


def test_a_full_device_is_one_clear_error() -> None:
    def full(x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match=r"\(1, 3, 5, 6\): give a window"):
        Inference().predict(full, torch.zeros(1, 3, 5, 6), (5, 6))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_no_prediction(value: float) -> None:
    def network(images: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(images), 3, 4, 4)
        logits[0, 1, 2, 3] = value
        return logits

    images = torch.zeros(1, 3, 8, 8)
    if math.isnan(value):
        with pytest.raises(InputError, match=r"no numbers \(nan\)"):
            Inference().predict(network, images, (8, 8))
    else:
        assert int(Inference().predict(network, images, (8, 8)).max()) == 1


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_a_class_that_is_masked_out_is_never_predicted(average: Any) -> None:
    def network(images: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(images), 3, 9, 9)
        logits[:, 0], logits[:, 1, :4], logits[:, 2] = -torch.inf, 1.0, 0.5
        return logits

    for size in ((33, 33), (9, 9), (5, 7)):
        found = Inference(average=average).predict(network, torch.zeros(1, 3, 16, 16), size)
        assert set(found.unique().tolist()) == {1, 2}
