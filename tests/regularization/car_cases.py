"""Shared by the tests of the regularizer: building both sides from one `Spec`, and comparing them."""

from __future__ import annotations

from typing import Any

import torch
from car_oracle import Result, Spec
from hypothesis import strategies as st

from classaware import ClassAwareRegularization

TERMS = ("intra_c2p", "inter_c2c", "inter_c2p")


def build(spec: Spec, **extra: Any) -> ClassAwareRegularization:
    """The module under test with every knob said aloud; the preset named is the one that shares fewest of them."""
    other = "masked" if spec.reduction == "square_of_mean" else "released"
    return ClassAwareRegularization(
        spec.num_classes,
        ignore_index=spec.ignore_index,
        preset=other,
        c2c_margin=spec.c2c_margin,
        c2p_margin=spec.c2p_margin,
        centers=spec.centers,
        ema_decay=spec.ema_decay,
        pool=spec.pool,
        drop_max=spec.drop_max,
        reduction=spec.reduction,
        c2p_scale=spec.c2p_scale,
        ignored=spec.ignored,
        absent=spec.absent,
        **extra,
    )


def values(terms: Any) -> list[float]:
    found = [getattr(terms, name) for name in TERMS]
    return [float(term.detach() if isinstance(term, torch.Tensor) else term) for term in found]


def assert_same(terms: Any, expected: Result | Any, rtol: float = 1e-9, atol: float = 1e-12) -> None:
    """Compare the three terms with an oracle's `Result` or with another module's terms."""
    for name, found, other in zip(TERMS, values(terms), values(expected), strict=True):
        assert getattr(terms, name).ndim == 0, name
        torch.testing.assert_close(found, other, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


def random_case(
    seed: int, shape: tuple[int, int, int, int], num_classes: int, ignored_share: float = 0.2, scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (B, C, H, W) in float64 and labels (B, H, W), some of them 255."""
    g = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(shape, generator=g, dtype=torch.float64)
    y = torch.randint(num_classes, (shape[0], *shape[2:]), generator=g)
    y[torch.rand(y.shape, generator=g) < ignored_share] = 255
    return x, y


def total_and_gradient(car: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted sum, and its gradient to the features."""
    x = x.detach().clone().requires_grad_()
    total = car(x, y).total
    (gradient,) = torch.autograd.grad(total, x)
    return total.detach(), gradient


@st.composite
def specs(draw: st.DrawFn, centers: tuple[str, ...] = ("batch", "image", "ema")) -> Spec:
    """Every knob drawn by itself, so mixtures that no preset has are tested too."""
    return Spec(
        num_classes=draw(st.integers(1, 5)),
        ignore_index=draw(st.sampled_from([255, -1, 0, 2])),
        reduction=draw(st.sampled_from(["square_of_mean", "mean_of_squares"])),
        c2p_scale=draw(st.sampled_from(["sqrt_channels", "none"])),
        ignored=draw(st.sampled_from(["count", "exclude"])),
        absent=draw(st.sampled_from(["zero_center", "exclude"])),
        c2c_margin=draw(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])),
        c2p_margin=draw(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])),
        centers=draw(st.sampled_from(centers)),
        ema_decay=draw(st.sampled_from([0.0, 0.5, 0.9])),
        pool=draw(st.sampled_from([1, 1, 2, 3])),
        drop_max=draw(st.booleans()),
    )


@st.composite
def batches(
    draw: st.DrawFn, spec: Spec, channels: int | None = None, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and labels for `spec`; label sizes are drawn apart from feature sizes."""
    side = st.integers(1, 4)
    b, c, h, w = draw(st.integers(1, 3)), channels or draw(side), draw(side), draw(side)
    label_size = draw(st.one_of(st.just((h, w)), st.tuples(st.integers(1, 7), st.integers(1, 7))))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = draw(st.sampled_from([0.0, 0.1, 1.0, 5.0])) * torch.randn((b, c, h, w), generator=g, dtype=dtype)
    classes = draw(st.integers(1, spec.num_classes))
    y = torch.randint(classes, (b, *label_size), generator=g)
    y[torch.rand(y.shape, generator=g) < draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))] = spec.ignore_index
    return x, y
