import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.errors import InputError
from classaware.evaluation import predict_labels, resize_logits


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
def test_result_is_float32(dtype: torch.dtype) -> None:
    logits = torch.randn(1, 2, 3, 3).to(dtype)
    result = resize_logits(logits, (5, 5))
    assert result.dtype == torch.float32
    assert torch.equal(result, resize_logits(logits.float(), (5, 5)))


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


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"\(2, 4, 4\)"):
        resize_logits(torch.zeros(2, 4, 4), (8, 8))
    with pytest.raises(InputError, match=r"\(0, 8\)"):
        resize_logits(torch.zeros(1, 2, 4, 4), (0, 8))
