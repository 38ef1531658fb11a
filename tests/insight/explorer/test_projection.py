import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.errors import InputError
from classaware.insight.explorer.projection import Fidelity, SecondMoment, quantize
from classaware.insight.relation import relation_map


def draw(seed: int, shape: tuple[int, int, int], offset: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.1, 2, shape[0])[:, None, None]
    return torch.randn(shape, generator=generator) * scale + offset


def test_the_second_moment_is_that_of_all_cells_of_all_images() -> None:
    images = [draw(0, (6, 3, 4)), draw(1, (6, 5, 2)), draw(2, (6, 1, 1))]
    moment = SecondMoment("net")
    for x in images:
        moment.add(x)
    basis = moment.basis()
    cells = torch.cat([x.flatten(1).T for x in images]).double()
    direct = cells.T @ cells
    rebuilt = basis.vectors_CC @ torch.diag(basis.energy_C) @ basis.vectors_CC.T
    torch.testing.assert_close(rebuilt, direct, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(basis.vectors_CC.T @ basis.vectors_CC, torch.eye(6).double(), rtol=0, atol=1e-12)
    assert bool((basis.energy_C.diff() <= 0).all())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), channels=st.integers(1, 9), count=st.integers(1, 9))
def test_kept_energy_is_the_share_of_the_projected_sums_of_squares(seed: int, channels: int, count: int) -> None:
    count = min(count, channels)
    x = draw(seed, (channels, 3, 4))
    moment = SecondMoment("net")
    moment.add(x)
    basis = moment.basis()
    share = float(basis.project(x, count).square().sum() / x.double().square().sum())
    assert basis.kept(count) == pytest.approx(share, abs=1e-9)


def test_all_components_keep_every_dot_product() -> None:
    x = draw(0, (8, 4, 5))
    moment = SecondMoment("net")
    moment.add(x)
    z = moment.basis().project(x, 8)
    direct = x.flatten(1).double().T @ x.flatten(1).double()
    torch.testing.assert_close(z.flatten(1).T @ z.flatten(1), direct, rtol=1e-10, atol=1e-9)


def test_components_that_hold_nothing_are_not_worth_having() -> None:
    x = torch.zeros(10, 4, 4)
    x[:3] = draw(0, (3, 4, 4))
    moment = SecondMoment("net")
    moment.add(x)
    assert moment.basis().enough() <= 3


def test_features_of_zero_have_one_component_and_no_correlation() -> None:
    x = torch.zeros(5, 2, 3)
    moment = SecondMoment("net")
    moment.add(x)
    basis = moment.basis()
    small = quantize(basis.project(x, basis.enough()))
    fidelity = Fidelity("net", 5, 1, basis.kept(1))
    fidelity.add(x, small.values())
    assert basis.enough() == 1
    assert basis.kept(1) == 1.0
    assert fidelity.to_dict()["correlation"]["cosine"] == {"mean": None, "minimum": None, "maps": 0}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), offset=st.floats(-1e4, 1e4), height=st.integers(1, 5))
def test_rounding_is_off_by_half_a_step_at_most(seed: int, offset: float, height: int) -> None:
    z = draw(seed, (4, height, 3), offset).double()
    small = quantize(z)
    off = (small.values().double() - z).abs().amax(dim=(1, 2)).numpy()
    assert small.levels_PD.shape == (height * 3, 4)
    assert (off <= 0.5 * small.step_D + 1e-6 * np.abs(z.numpy()).max()).all()


def test_a_constant_component_comes_back_as_it_was() -> None:
    z = torch.full((2, 3, 3), 0.7, dtype=torch.float64)
    for value in (0.7, -0.7, 0.0):
        torch.testing.assert_close(quantize(z.fill_(value)).values(), z.float(), rtol=1e-7, atol=0)


def test_cells_without_features_stay_without() -> None:
    x = torch.relu(draw(0, (12, 6, 8), offset=0.0))
    x[:, :, 5:] = 0
    moment = SecondMoment("net")
    moment.add(x)
    for count in (3, 12):
        small = quantize(moment.basis().project(x, count)).values()
        assert not small[:, :, 5:].any()
        assert not relation_map(small, (1, 6), "cosine").any()


def test_a_map_that_the_page_lacks_counts_as_nothing() -> None:
    x = draw(0, (6, 5, 5))
    fidelity = Fidelity("net", 6, 1, 0.0)
    fidelity.add(x, torch.zeros(1, 5, 5))
    assert fidelity.to_dict()["correlation"]["dot"] == {"mean": 0.0, "minimum": 0.0, "maps": 25}


def test_fidelity_is_the_correlation_of_relation_maps() -> None:
    exact, shown = draw(0, (6, 11, 7)), draw(1, (3, 11, 7))
    fidelity = Fidelity("net", 6, 3, 1.0)
    fidelity.add(exact, shown)
    rows, columns = [1, 3, 5, 7, 9], [0, 2, 3, 4, 6]
    for form in ("dot", "cosine"):
        direct = [
            np.corrcoef(*(relation_map(x, (row, column), form).numpy().ravel() for x in (exact, shown)))[0, 1]  # type: ignore[arg-type]
            for row in rows
            for column in columns
        ]
        numbers = fidelity.to_dict()["correlation"][form]
        assert fidelity.correlations[form] == pytest.approx(direct, abs=1e-9)
        assert numbers["minimum"] == pytest.approx(min(direct), abs=1e-9)
        assert numbers["mean"] == pytest.approx(sum(direct) / 25, abs=1e-9)
        assert numbers["maps"] == 25


def test_errors_name_the_network() -> None:
    moment = SecondMoment("mine")
    with pytest.raises(InputError, match="'mine' has seen no image"):
        moment.basis()
    bad = torch.ones(3, 2, 2)
    bad[1, 0, 0] = torch.inf
    with pytest.raises(InputError, match=r"'mine'.*infinite"):
        moment.add(bad)
    moment.add(torch.ones(3, 2, 2))
    with pytest.raises(InputError, match="'mine' makes 4 channels"):
        moment.add(torch.ones(4, 2, 2))
