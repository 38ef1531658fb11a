"""The loss of twenty steps, as it was when this was written, on any CPU and version of torch."""

from pathlib import Path
from typing import Any

import pytest
from golden import STEPS, curve, furthest, write_data

CURVE = [
    *(2.627753, 2.152816, 2.282023, 2.011160, 1.717141, 1.901519, 1.481770, 1.587296, 1.391696, 1.280313),
    *(1.247117, 0.995244, 0.921724, 1.115698, 0.972065, 1.154042, 0.860155, 1.092620, 0.781526, 1.016579),
]
# Relative. Other kernels and numbers of threads change at most 3e-6, the least of the changes below 1.2e-3.
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("golden") / "data")


def test_the_curve_is_what_it_was(data: Path, tmp_path: Path) -> None:
    losses = curve(data, tmp_path)
    assert len(losses) == STEPS
    assert furthest(losses, CURVE) < TOLERANCE, losses


@pytest.mark.parametrize(
    "change",
    [
        {"task_lr": 0.0505},
        {"task_momentum": 0.89},
        {"task_power": 1.0},
        {"task_weight_decay": 0.011},
        {"task_decay": "released"},
        {"task_warmup_steps": 1},
        {"task_average": "all"},
        {"data_flip": False},
        {"data_brightness": False},
        {"data_scales": (1.0,)},
        {"data_max_class_share": 0.75},
        {"data_seed": 1},
        {"data_batch_size": 3},
        {"car_preset": "paper"},
        {"car_c2c_margin": 0.51},
        {"car_c2p_margin": 0.26},
        {"car_intra_c2p_weight": 1.01},
        {"car_inter_c2c_weight": 1.01},
        {"car_inter_c2p_weight": 1.01},
    ],
    ids=lambda change: "-".join(change),
)
def test_every_change_shows(data: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    assert furthest(curve(data, tmp_path, **change), CURVE) > 5 * TOLERANCE
