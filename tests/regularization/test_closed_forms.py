"""Numbers that a pencil gives: the anchors of the authors' code and cases with one or two classes."""

import math

import pytest
import torch
from car_cases import assert_same
from car_oracle import Result

from classaware import ClassAwareRegularization

ANCHORS = [(59, 0.23334, 0.53736, 0.55605), (171, 0.24419, 0.55376, None)]
FLOOR = 1e-5


def zeros(num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of 0 for two images that hold every class."""
    side = math.ceil(math.sqrt(num_classes))
    y = torch.arange(2 * side * side).reshape(2, side, side) % num_classes
    return torch.zeros(2, 8, side, side, dtype=torch.float64), y


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


@pytest.mark.parametrize(("k", "c2c", "c2p", "_"), ANCHORS)
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
def test_uniform(k: int, c2c: float, c2p: float, _: float, centers: str) -> None:
    """((K−1)/K − ε)² for both, whatever the labels."""
    x, y = zeros(k)
    terms = ClassAwareRegularization(k, centers=centers)(x, y)
    assert_same(terms, Result(FLOOR, ((k - 1) / k - 0.5) ** 2, ((k - 1) / k - 0.25) ** 2, []))
    assert_same(terms, Result(FLOOR, c2c, c2p, []), rtol=0, atol=5e-6)


@pytest.mark.parametrize("k", [59, 171])
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
@pytest.mark.parametrize("scale", [0.0, 1e-4])
def test_all_ignored(k: int, centers: str, scale: float) -> None:
    """(1 − ε₁K/(K−1))² for c2p: zero centers make every pixel uniform, and all K classes are other classes."""
    x, y = zeros(k)
    x = x + scale * torch.randn(x.shape, dtype=x.dtype)
    terms = ClassAwareRegularization(k, centers=centers)(x, torch.full_like(y, 255))
    assert_same(terms, Result(FLOOR, ((k - 1) / k - 0.5) ** 2, (1 - 0.25 * k / (k - 1)) ** 2, []))
    if k == 59:
        assert_same(terms, Result(FLOOR, 0.23334, 0.55605, []), rtol=0, atol=5e-6)


@pytest.mark.parametrize("k", [59, 171])
def test_uniform_in_the_other_presets(k: int) -> None:
    """Without spread the two reductions agree, and only the floor is gone."""
    x, y = zeros(k)
    expected = Result(0.0, ((k - 1) / k - 0.5) ** 2, ((k - 1) / k - 0.25) ** 2, [])
    for preset in ("paper", "masked"):
        assert_same(ClassAwareRegularization(k, preset=preset)(x, y), expected)


@pytest.mark.parametrize("present", [1, 2, 7])
def test_masked_counts_the_classes_present(present: int) -> None:
    x, y = zeros(59)
    share = (present - 1) / present
    expected = Result(0.0, max(share - 0.5, 0) ** 2, max(share - 0.25, 0) ** 2, [])
    assert_same(ClassAwareRegularization(59, preset="masked")(x, y % present), expected)


@pytest.mark.parametrize("preset", ["released", "paper", "masked"])
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
def test_nothing_labelled(preset: str, centers: str) -> None:
    x, y = torch.randn(2, 4, 3, 3, dtype=torch.float64), torch.full((2, 3, 3), 255)
    terms = ClassAwareRegularization(5, preset=preset, centers=centers)(x, y)
    uniform = Result(FLOOR, (4 / 5 - 0.5) ** 2, (1 - 0.25 * 5 / 4) ** 2, [])
    expected = {"released": uniform, "paper": uniform._replace(intra_c2p=0.0), "masked": Result(0.0, 0.0, 0.0, [])}
    assert_same(terms, expected[preset], atol=0)


@pytest.mark.parametrize("preset", ["released", "paper", "masked"])
@pytest.mark.parametrize("size", [0.3, 1.0])
def test_two_classes_opposite_each_other(preset: str, size: float) -> None:
    """Centers a and −a, one channel: the share of the other class is sigmoid(−2a²) for centers, and so for pixels
    at x = ±a·w: their own column stays a², the other is −a²·w."""
    margin, w = 0.01, 0.5
    inner, outer = size * (1 - w), size * (1 + w)
    x = torch.tensor([inner, outer, -inner, -outer], dtype=torch.float64).reshape(1, 1, 1, 4)
    y = torch.tensor([[[0, 0, 1, 1]]])
    car = ClassAwareRegularization(2, preset=preset, c2c_margin=margin, c2p_margin=margin)
    rows = [max(sigmoid(-2 * size**2) - margin, 0)] * 2
    pixels = [max(sigmoid(-(size**2) - size * v) - margin, 0) for v in (inner, outer)]
    means = (sum(rows) / 2) ** 2, (sum(pixels) / 2) ** 2
    squares = sum(r * r for r in rows) / 2, sum(p * p for p in pixels) / 2
    c2c, c2p = means if preset == "released" else squares
    assert_same(car(x, y), Result((size * w) ** 2, c2c, c2p, []))


@pytest.mark.parametrize(
    ("preset", "intra"), [("released", (0.6 * 0.3) ** 2), ("paper", 0.6 * 0.3**2), ("masked", 0.3**2)]
)
def test_intra_with_four_ignored_pixels_of_ten(preset: str, intra: float) -> None:
    """Every valid pixel is 0.3 from its center. (A 2x5 image; the ignored ones are far away and must not be seen.)"""
    x = torch.tensor([[2.3, 1.7, 2.3, 1.7, 2.3, 1.7, 9.0, -9.0, 9.0, 9.0]], dtype=torch.float64).reshape(1, 1, 2, 5)
    y = torch.tensor([0] * 6 + [255] * 4).reshape(1, 2, 5)
    terms = ClassAwareRegularization(3, preset=preset)(x, y)
    assert float(terms.intra_c2p) == pytest.approx(intra, rel=1e-12)


def test_far_apart_centers_cost_nothing() -> None:
    """Orthogonal classes of great length: no share is above the threshold. The clip leaves 1e-7 squared."""
    x = 40 * torch.eye(3, dtype=torch.float64).reshape(1, 3, 1, 3)
    y = torch.tensor([[[0, 1, 2]]])
    assert_same(ClassAwareRegularization(3)(x, y), Result(FLOOR, 1e-14, 1e-14, []), atol=0)
    for preset in ("paper", "masked"):
        assert_same(ClassAwareRegularization(3, preset=preset)(x, y), Result(0.0, 0.0, 0.0, []), atol=0)


def test_upper_clip() -> None:
    """Without a margin the share of one wrong class goes to 1 and is cut at 1 − 1e-7; mean of squares has no clip."""
    x = torch.tensor([50.0, 50.0, 2.0], dtype=torch.float64).reshape(1, 1, 1, 3)
    y = torch.tensor([[[0, 0, 255]]])  # the ignored pixel wins class 0 with exp(100)
    clipped = ((2 * 1e-7 + (1 - 1e-7)) / 3) ** 2
    terms = ClassAwareRegularization(2, c2p_margin=0.0)(x, y)
    assert float(terms.inter_c2p) == pytest.approx(clipped, rel=1e-12)
    terms = ClassAwareRegularization(2, c2p_margin=0.0, preset="paper")(x, y)
    assert float(terms.inter_c2p) == pytest.approx(1 / 3, rel=1e-12)


@pytest.mark.parametrize(("preset", "temperature"), [("released", 0.5), ("paper", 1.0), ("masked", 0.5)])
def test_square_root_of_channels(preset: str, temperature: float) -> None:
    """Four channels of 1 for class 0 and −1 for class 1: dot products ±4, divided by 2 where √C is."""
    x = torch.ones(1, 4, 1, 2, dtype=torch.float64) * torch.tensor([1.0, -1.0], dtype=torch.float64)
    car = ClassAwareRegularization(2, preset=preset, c2c_margin=0.0, c2p_margin=0.0)
    terms = car(x, torch.tensor([[[0, 1]]]))
    assert float(terms.inter_c2c) == pytest.approx(sigmoid(-8 * 0.5) ** 2, rel=1e-12)  # Eq. 4 always has it
    assert float(terms.inter_c2p) == pytest.approx(sigmoid(-8 * temperature) ** 2, rel=1e-12)


def test_running_centers_by_hand() -> None:
    """First sight takes the batch's mean, then 0.9 of the way is kept; a class out of sight stays."""
    car = ClassAwareRegularization(3, preset="masked", centers="ema", ema_decay=0.9)
    y = torch.tensor([[[0, 1]]])
    car(torch.tensor([2.0, 5.0], dtype=torch.float64).reshape(1, 1, 1, 2), y)
    car(torch.tensor([4.0, 4.0], dtype=torch.float64).reshape(1, 1, 1, 2), torch.zeros_like(y))
    probe = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    car.eval()
    center_0 = 2.0 + 0.1 * (4.0 - 2.0)
    assert float(car(probe, torch.zeros_like(y)).intra_c2p) == pytest.approx(center_0**2, rel=1e-12)
    assert float(car(probe, torch.ones_like(y)).intra_c2p) == pytest.approx(25.0, rel=1e-12)
    assert float(car(probe, torch.ones_like(y)).intra_c2p) == pytest.approx(25.0, rel=1e-12), "evaluation moved it"


@pytest.mark.parametrize("drop_max", [False, True])
def test_no_floor_and_no_clip_where_nothing_is_averaged(drop_max: bool) -> None:
    """Square of mean with everything excluded: exactly 0, for there is no mean to put a floor under."""
    x, y = torch.ones(2, 4, 3, 3, dtype=torch.float64), torch.full((2, 3, 3), 255)
    car = ClassAwareRegularization(5, ignored="exclude", absent="exclude", drop_max=drop_max)
    assert_same(car(x, y), Result(0.0, 0.0, 0.0, []), rtol=0, atol=0)


@pytest.mark.parametrize("ignored", ["count", "exclude"])
def test_drop_max_of_one_pixel_leaves_nothing(ignored: str) -> None:
    x, y = torch.ones(2, 4, 1, 1, dtype=torch.float64), torch.zeros(2, 1, 1, dtype=torch.long)
    terms = ClassAwareRegularization(5, ignored=ignored, drop_max=True)(x, y)
    assert float(terms.intra_c2p) == 0.0


@pytest.mark.parametrize(("preset", "intra"), [("released", (7 / 6) ** 2), ("paper", 15 / 6), ("masked", 15 / 5)])
def test_drop_max_by_hand(preset: str, intra: float) -> None:
    """Both centers are 0. Distances 1 1 3 3 in one image, 2 2 0 and an ignored one in the other; a 3 and a 2 leave."""
    x = torch.tensor([1.0, -1, 3, -3, 2, -2, 0, 7], dtype=torch.float64).reshape(2, 1, 2, 2)
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 255]).reshape(2, 2, 2)
    terms = ClassAwareRegularization(2, preset=preset, drop_max=True)(x, y)
    assert float(terms.intra_c2p) == pytest.approx(intra, rel=1e-12)
