"""How a study treats the processes that do its cells. Small scripts stand for them."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from classaware.commands.studies import running as module
from classaware.commands.studies.progress import Board
from classaware.commands.studies.running import Running
from classaware.errors import InputError
from classaware.study.begun import check_begun, note_begin
from classaware.study.places import Places
from classaware.study.plan import Cell, Study
from classaware.study.reading import read_study

pytestmark = pytest.mark.skipif(os.name != "posix", reason="scripts of a POSIX shell")

# The order is the script's third argument; a cell is done where its cell.json is.
DO = r"""place=$(printf %s "$3" | sed 's/.*"result": "\([^"]*\)".*/\1/')
mkdir -p "$place"; echo '{}' > "$place/cell.json"; """


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "two.yaml"
    path.write_text("datasets: {scenes: []}\nvariants: {plain: [], car: [car]}\nseeds: [0]\n")
    return read_study(path)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "out")


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What the processes are to do."""

    def write(script: str) -> None:
        path = tmp_path / "child.sh"
        path.write_text(f"#!/bin/sh\necho begin >> {tmp_path}/begun\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(module.sys, "executable", str(path))

    return write


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


def begun(tmp_path: Path) -> int:
    path = tmp_path / "begun"
    return len(path.read_text().splitlines()) if path.exists() else 0


def run(study: Study, places: Places, seconds: float | None = None, show: module.Show = lambda cell: None) -> Running:
    running = Running(study, places, "cpu", seconds, show)
    running.run()
    return running


def sent(*times: float, number: int = signal.SIGINT) -> threading.Thread:
    """Signals to this process, so many seconds after another."""

    def send() -> None:
        for pause in times:
            time.sleep(pause)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_cells_that_are_done_are_not_done_again(
    study: Study, places: Places, child: Callable[[str], None], tmp_path: Path
) -> None:
    child(DO)
    assert not run(study, places).stopped
    assert all(places.is_done(cell) for cell in study.cells)
    run(study, places)
    assert begun(tmp_path) == 2


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first; echo 'ValueError: no such thing' >&2; exit 1", "ValueError: no such thing (status 1)"),
        ("exit 2", "it wrote nothing (status 2)"),
        ("echo begun; kill -9 $$", "ended by SIGKILL (not enough memory?)"),
        ("kill -11 $$", "ended by SIGSEGV"),
    ],
)
def test_a_cell_that_fails_says_why_and_the_others_go_on(
    script: str, reason: str, study: Study, places: Places, child: Callable[[str], None], tmp_path: Path
) -> None:
    child(f'case "$3" in *plain*) {script};; esac; {DO}')
    bad, good = study.cells
    assert not run(study, places).stopped
    assert places.is_done(good)
    assert places.failure(bad) == f"{reason}; see {Path('logs/scenes/default/plain/seed-0.txt')}"
    assert begun(tmp_path) == 2
    run(study, places)
    assert begun(tmp_path) == 3  # tried again, once
    child(DO)
    run(study, places)
    assert places.is_done(bad)
    assert places.failure(bad) is None


def test_a_cell_that_another_process_failed_meanwhile_is_not_tried_again(
    study: Study, places: Places, child: Callable[[str], None], tmp_path: Path
) -> None:
    child(DO)
    running = Running(study, places, "cpu", None, lambda cell: None)
    places.fail(study.cells[0], "there")
    running.run()
    assert begun(tmp_path) == 1


def test_a_limit_of_time_ends_the_cell_and_fails_none(
    study: Study, places: Places, child: Callable[[str], None], tmp_path: Path
) -> None:
    child("trap 'exit 143' TERM; sleep 30 & wait")
    start = time.monotonic()
    assert run(study, places, seconds=0.5).stopped
    assert time.monotonic() - start < 10
    assert [places.failure(cell) for cell in study.cells] == [None, None]
    assert begun(tmp_path) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_passed_on_once(
    number: int, study: Study, places: Places, child: Callable[[str], None], tmp_path: Path
) -> None:
    asked = f"echo asked >> {tmp_path}/asked"
    child(f"trap '{asked}' TERM; sleep 2 & while ! wait; do :; done; echo ended >> {tmp_path}/asked; exit 143")
    thread = sent(0.6, 0.05, 0.05, number=number)  # as by who sends it to every process, and once more
    assert run(study, places).stopped
    thread.join()
    assert (tmp_path / "asked").read_text().splitlines() == ["asked", "ended"]
    assert places.failure(study.cells[0]) is None


def test_a_second_signal_ends_what_does_not_listen(study: Study, places: Places, child: Callable[[str], None]) -> None:
    child("trap '' TERM; sleep 30")
    start = time.monotonic()
    thread = sent(0.5, 1.5)
    assert run(study, places).stopped
    thread.join()
    assert time.monotonic() - start < 10
    assert places.failure(study.cells[0]) is None


def test_a_fault_of_the_study_leaves_no_process_behind(
    study: Study, places: Places, child: Callable[[str], None], tmp_path: Path
) -> None:
    child(f"trap 'echo asked > {tmp_path}/asked; exit' TERM; sleep 30 & wait")

    def broken(cell: Cell | None) -> None:
        if begun(tmp_path):
            time.sleep(0.2)
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(study, places, show=broken)
    assert (tmp_path / "asked").exists()


def test_the_process_s_input_ends_with_the_study(
    study: Study, places: Places, child: Callable[[str], None], tmp_path: Path
) -> None:
    """By this the real one notices that the study was killed."""
    child(f"cat > /dev/null; echo ended > {tmp_path}/ended")
    pid = os.fork()
    if not pid:
        run(study, places)
        os._exit(0)
    while not begun(tmp_path):
        time.sleep(0.02)
    time.sleep(0.2)
    assert not (tmp_path / "ended").exists()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    until = time.monotonic() + 10
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_training_does_not_go_on_with_other_arguments(places: Places, study: Study) -> None:
    cell = study.cells[0]
    run_folder = places.run(cell)
    note_begin(run_folder, ["--trainer.max_steps=8", "--data.num_workers=0"])
    check_begun(run_folder, ["--trainer.max_steps=9"], cell)  # nothing is trained yet
    (run_folder / "last.ckpt").touch()
    note_begin(run_folder, ["--trainer.max_steps=9"])
    check_begun(run_folder, ["--trainer.max_steps=8", "--data.num_workers=2"], cell)
    message = (
        f"{cell} was begun with '--trainer.max_steps=8' .* now says '--trainer.max_steps=9': .* remove {run_folder}"
    )
    with pytest.raises(InputError, match=message):
        check_begun(run_folder, ["--trainer.max_steps=9"], cell)
    (run_folder / "study.json").unlink()
    check_begun(run_folder, ["--trainer.max_steps=9"], cell)


def test_the_board_shows_what_becomes_of_every_cell(study: Study, places: Places) -> None:
    plain, car = study.cells
    places.fail(car, "why")
    (places.run(plain) / "logs").mkdir(parents=True)
    (places.run(plain) / "config.yaml").write_text(json.dumps({"trainer": {"max_steps": 200}}))
    file = StringIO()
    board = Board(study, places, Console(file=file, force_terminal=True, width=80))
    with board.drawn():
        assert rows(board, None) == ["begun", "failed"]
        assert rows(board, plain) == ["begins", "failed"]
        for steps, shown in (((0, 9), "4 %"), ((9, 99), "49 %"), ((99, 199), "measured")):
            lines = "".join(f"{step},0.5\n" for step in steps)
            (places.run(plain) / "logs" / "metrics.csv").write_text(f"step,loss\n{lines},0.5\n")
            assert rows(board, plain) == [shown, "failed"]
        board.show(plain)
    assert "two: 0 of 2 cells done" in file.getvalue()
    assert "seed 0" in file.getvalue()


def rows(board: Board, current: Cell | None) -> list[str]:
    return list(board.table(current).columns[-1].cells)  # type: ignore[arg-type]


def test_a_file_gets_a_line_a_cell(study: Study, places: Places) -> None:
    file = StringIO()
    board = Board(study, places, Console(file=file, width=20))
    with board.drawn():
        for cell in (study.cells[0], study.cells[0], study.cells[1], None, None):
            board.show(cell)
    assert file.getvalue().splitlines() == [*map(str, study.cells), "waiting for the cells of other processes"]
