"""Where a study's files lie, and its locks between processes."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from holding import Holder, hold

from classaware import locks as module
from classaware.errors import InputError
from classaware.locks import is_locked, locked
from classaware.study.cell import CellResult, write_cell
from classaware.study.places import Places
from classaware.study.plan import Cell

CELL = Cell("scenes", "ocr", "car", 3)
OTHER = Cell("scenes", "ocr", "car", 4)

pytestmark = pytest.mark.skipif(module.fcntl is None, reason="no locks of POSIX here")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "study")


def in_another_process(action: Callable[[], bool]) -> bool:
    """What it finds there."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=lambda: sender.send(action()))
    process.start()
    assert receiver.poll(20)
    found = receiver.recv()
    process.join()
    return bool(found)


def can_claim(places: Places, cell: Cell = CELL) -> bool:
    with places.claim(cell) as mine:
        return mine


@contextmanager
def writing(places: Places) -> Iterator[bool]:
    with places.alone():
        yield True


def test_places_lie_apart(places: Places) -> None:
    inside = Path("scenes", "ocr", "car", "seed-3")
    assert places.result(CELL) == places.folder / "cells" / inside
    assert places.run(CELL) == places.folder / "runs" / inside
    assert places.log(CELL) == places.folder / "logs" / "scenes" / "ocr" / "car" / "seed-3.txt"


def test_a_cell_is_done_by_its_file(places: Places) -> None:
    assert not places.is_done(CELL)
    write_cell(places.result(CELL), CellResult(CELL, (), 1, {}))
    assert places.is_done(CELL)
    assert not places.is_done(OTHER)


def test_failures_are_kept_told_apart_and_forgotten(places: Places) -> None:
    assert (places.failure(CELL), places.failed_at(CELL)) == (None, None)
    places.forgive(CELL)
    places.fail(CELL, "no mémory")
    first = places.failed_at(CELL)
    assert (places.failure(CELL), places.failure(OTHER)) == ("no mémory", None)
    places.forgive(CELL)
    assert (places.failure(CELL), places.failed_at(CELL)) == (None, None)
    os.utime(places.folder, ns=(0, 0))
    places.fail(CELL, "no mémory")
    assert places.failed_at(CELL) != first


def test_a_claim_is_exclusive_between_processes_and_ends(places: Places) -> None:
    with places.claim(CELL) as mine:
        assert mine
        assert not in_another_process(lambda: can_claim(places))
        assert in_another_process(lambda: can_claim(places, OTHER))
    assert in_another_process(lambda: can_claim(places))
    assert can_claim(places)


def test_a_claim_vanishes_with_a_killed_process(places: Places, holder: Holder) -> None:
    process = holder(lambda: places.claim(CELL))
    assert not can_claim(places)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert can_claim(places)


def test_a_cell_that_is_worked_on_is_nobody_else_s(places: Places, holder: Holder) -> None:
    """Its study may have been killed; the process that does the cell has not ended yet."""
    process = holder(lambda: locked(places.work_lock(CELL), wait=True))
    assert places.is_worked_on(CELL)
    assert not places.is_worked_on(OTHER)
    assert not can_claim(places)
    process.kill()
    process.join()
    assert not places.is_worked_on(CELL)
    assert can_claim(places)


def test_a_training_begun_by_hand_is_nobody_else_s(places: Places, holder: Holder) -> None:
    from classaware.training.alone import alone

    assert not is_locked(places.run(CELL) / ".lock")
    process = holder(lambda: locked(places.run(CELL) / ".lock"))
    assert not can_claim(places)
    with pytest.raises(InputError, match="another process trains"), alone(places.run(CELL)):
        pass
    process.kill()
    process.join()
    assert can_claim(places)


def test_asking_does_not_take(places: Places, holder: Holder) -> None:
    process = holder(lambda: places.claim(CELL))
    for _ in range(3):
        assert not can_claim(places)
        assert is_locked(places.folder / "locks" / "scenes" / "ocr" / "car" / "seed-3.lock")
    assert process.is_alive()
    assert not (places.folder / "runs").exists()


def test_results_are_written_by_one_after_the_other(places: Places, holder: Holder) -> None:
    process = holder(lambda: writing(places))
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    second = multiprocessing.get_context("fork").Process(target=hold, args=(lambda: writing(places), sender))
    second.start()
    assert not receiver.poll(0.5)
    process.kill()
    assert receiver.poll(20)
    second.kill()
    second.join()


def test_a_file_system_without_locks_is_used_without(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(module.fcntl, "lockf", none)
    assert can_claim(places)
    with places.alone():
        pass


def test_where_the_system_has_no_locks_every_cell_is_free(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fcntl", None)
    with places.claim(CELL) as mine:
        assert mine
        assert not places.is_worked_on(CELL)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "study").write_text("a file")
    with pytest.raises(InputError, match=r"cannot write .*study.* choose another --output"):
        can_claim(Places(tmp_path / "study"))
