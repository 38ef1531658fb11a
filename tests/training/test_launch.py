"""As many processes train together as torchrun started."""

import pytest
import pytorch_lightning as pl

from classaware.errors import InputError
from classaware.training.launch import check_processes, follow_torchrun

AUTO = {"devices": "auto", "num_nodes": 1, "max_steps": 3}


def trainer(**options: object) -> pl.Trainer:
    return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)


def start(monkeypatch: pytest.MonkeyPatch, processes: int, here: int) -> None:
    values = {"RANK": 0, "LOCAL_RANK": 0, "GROUP_RANK": 0, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": here}
    for name, value in ({"TORCHELASTIC_RUN_ID": "test"} | values).items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(("processes", "here", "machines"), [(2, 2, 1), (6, 2, 3), (1, 1, 1)])
def test_torchruns_processes_train_together(
    monkeypatch: pytest.MonkeyPatch, processes: int, here: int, machines: int
) -> None:
    start(monkeypatch, processes, here)
    options = follow_torchrun(AUTO)
    assert options == AUTO | {"devices": here, "num_nodes": machines}
    made = trainer(**options)
    assert made.world_size == processes
    check_processes(made)


def test_other_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    start(monkeypatch, 2, 2)
    options = AUTO | {"devices": 1}
    assert follow_torchrun(options) == options
    with pytest.raises(InputError, match=r"torchrun started 2 processes.*for 1: leave"):
        check_processes(trainer(**options))


def test_without_torchrun_the_trainer_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert follow_torchrun(AUTO) == AUTO
    check_processes(trainer(devices=1))
