import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from classaware.errors import InputError
from classaware.insight import colorize, overlay, png_bytes
from classaware.insight.images import compact_bytes

PALETTE = np.array([[0, 0, 255], [10, 200, 30], [255, 255, 255]], dtype=np.uint8)


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_colorize_by_loop() -> None:
    label = np.array([[0, 1, 2], [255, -1, 3]])
    painted = colorize(label, PALETTE, ignore_color=(9, 8, 7))
    assert painted.dtype == np.uint8
    for place, value in np.ndenumerate(label):
        assert painted[place].tolist() == (PALETTE[value].tolist() if 0 <= value < 3 else [9, 8, 7])


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1), st.integers(0, 2**31))
def test_overlay_by_loop(alpha: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    label = rng.choice([0, 1, 2, 255], (3, 4)).astype(np.uint8)
    result = overlay(image, label, PALETTE, alpha)
    assert result.dtype == np.uint8
    for i, j in np.ndindex(3, 4):
        for c in range(3):
            own = int(image[i, j, c])
            exact = (1 - alpha) * own + alpha * int(PALETTE[label[i, j], c]) if label[i, j] < 3 else own
            assert abs(int(result[i, j, c]) - exact) <= 0.5 + 1e-9


def test_png_is_lossless_and_always_the_same() -> None:
    image = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    assert np.array_equal(decoded(png_bytes(image)), image)
    assert png_bytes(image) == png_bytes(image.copy())
    assert b"tEXt" not in png_bytes(image)
    assert b"tIME" not in png_bytes(image)


def test_painted_labels_stay_exact_in_a_page() -> None:
    rng = np.random.default_rng(0)
    palette = np.stack(np.unravel_index(rng.permutation(4096)[:256] * 4096, (256, 256, 256)), axis=1)
    painted = colorize(np.arange(256).reshape(16, 16), palette)
    kind, data = compact_bytes(painted)
    assert kind == "image/png"
    assert np.array_equal(decoded(data), painted)


def test_photographs_are_small_in_a_page() -> None:
    y, x = np.mgrid[0:128, 0:128]
    photograph = np.stack([x * 2, y * 2, x + y], axis=2).astype(np.uint8)
    kind, data = compact_bytes(photograph)
    assert kind == "image/jpeg"
    assert np.abs(decoded(data).astype(int) - photograph).mean() < 4
    assert len(data) < photograph.size / 5


def test_bad_input_is_named() -> None:
    label = np.zeros((2, 2), dtype=np.int64)
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="float64"):
        colorize(label.astype(float), PALETTE)
    with pytest.raises(InputError, match=r"palette has shape \(3, 2\)"):
        colorize(label, PALETTE[:, :2])
    with pytest.raises(InputError, match="palette"):
        colorize(label, PALETTE.astype(int) + 1)
    with pytest.raises(InputError, match=r"\(2, 2\), its label map \(1, 2\)"):
        overlay(image, label[:1], PALETTE)
    with pytest.raises(InputError, match=r"alpha is 1\.5"):
        overlay(image, label, PALETTE, alpha=1.5)
    with pytest.raises(InputError, match="float32"):
        png_bytes(image.astype(np.float32))
