"""``classaware study`` on scenes: stopped, killed and shared, it gives what an undisturbed one gives."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from classaware.commands.main import main
from classaware.commands.study import parse_time
from classaware.errors import InputError
from classaware.study.places import Places
from classaware.study.plan import Cell

SCENES: dict[str, Any] = {"fit": ["biased-scenes"], "splits": ["seen", "unseen"]}
CONTENT: dict[str, Any] = {
    "name": "tiny",
    "fit": [
        "--trainer.max_steps=12",
        "--trainer.val_check_interval=6",
        "--trainer.log_every_n_steps=2",
        "--save_every=2",
        "--data.batch_size=4",
        "--data.dataset.train=16",
        "--data.dataset.val=4",
        "--data.dataset.test=4",
        "--network.head.channels=16",
    ],
    "datasets": {"scenes": SCENES},
    "variants": {"baseline": [], "released": ["car"]},
    "seeds": [0, 1],
}
FIRST = Cell("scenes", "default", "baseline", 0)
LAST = Cell("scenes", "default", "released", 1)
ALL = [Cell("scenes", "default", variant, seed) for seed in (0, 1) for variant in ("baseline", "released")]
PROGRAM = [sys.executable, "-c", "import sys; from classaware.commands.main import main; sys.exit(main())"]
SECONDS = 240  # until a test gives up


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of the study's file. No git: a commit between two trainings would be a difference."""
    base = tmp_path_factory.mktemp("study")
    write_study(base)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        patch.setenv("PATH", str(base))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield base


@pytest.fixture(scope="module")
def undisturbed(base: Path) -> Path:
    """Folder of a study that ran through; only to be read."""
    assert main(["study", str(base / "tiny.yaml"), "--output", str(base / "undisturbed")]) == 0
    return base / "undisturbed"


@pytest.fixture
def done(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(undisturbed, tmp_path / "done")


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be trained or measured."""
    monkeypatch.setattr("classaware.commands.studies.running.Running._do", lambda self, cell: pytest.fail(str(cell)))


def write_study(folder: Path, **parts: Any) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(CONTENT | parts, sort_keys=False), encoding="utf-8")
    return path


def times(folder: Path) -> dict[str, int]:
    """When the files of the cells that are done were written; what was measured of any other is measured again."""
    done = [path.parent for path in (folder / "cells").rglob("cell.json")]
    return {str(path): path.stat().st_mtime_ns for place in done for path in place.glob("*.json")}


def wait_for(condition: Callable[[], object], process: subprocess.Popen[Any] | None = None) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)


class Shown:
    """A terminal and what was drawn on it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.text = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while part := os.read(self.master, 4096):
                self.text += part
        except OSError:  # the last process that had it has ended
            pass


def begin(base: Path, folder: Path, **how: Any) -> subprocess.Popen[Any]:
    command = [*PROGRAM, "study", str(base / "tiny.yaml"), "--output", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **how)


def kill_in_training(base: Path, folder: Path) -> None:
    """The study alone, drawing on a terminal: the training notices and stops, with all that it has."""
    places, terminal = Places(folder), Shown()
    with begin(base, folder, stdout=terminal.slave, stderr=terminal.slave) as process:
        wait_for((places.run(FIRST) / "last.ckpt").exists, process)
        wait_for(lambda: b"0 of 4 cells done" in terminal.text, process)
        assert places.is_worked_on(FIRST)
        process.kill()
    wait_for(lambda: not places.is_worked_on(FIRST))
    assert "stopped by SIGTERM at step" in places.log(FIRST).read_text(encoding="utf-8")
    assert not places.is_done(FIRST)


def kill_both(base: Path, folder: Path) -> None:
    """The study and the process that trains, as a machine that loses its power."""
    checkpoint = Places(folder).run(FIRST) / "last.ckpt"
    before = checkpoint.stat().st_mtime_ns
    with begin(base, folder) as process:
        wait_for(lambda: checkpoint.exists() and checkpoint.stat().st_mtime_ns != before, process)
        os.kill(process.pid, signal.SIGSTOP)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        process.kill()
    assert not Places(folder).is_done(FIRST)
    assert Places(folder).failure(FIRST) is None


@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="no list of a process's own")
def test_killed_stopped_and_shared_it_gives_the_same(
    base: Path, undisturbed: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    kill_in_training(base, folder)
    kill_both(base, folder)
    stopped = command("study", base / "tiny.yaml", "--output", folder, "--time_limit", "7s")
    assert stopped.status == 3, stopped
    assert "classaware study: stopped; " in stopped.err
    assert "of 4 cells are to be done. The same command goes on." in stopped.err
    assert not (folder / "failed").exists()
    early = times(folder)
    both = [begin(base, folder, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    lines = [process.communicate(timeout=SECONDS)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    begun = [[line for line in part if line.startswith("scenes/")] for part in lines]
    assert len(set(begun[0] + begun[1])) == len(begun[0] + begun[1])  # none by both
    assert early.items() <= times(folder).items()
    for name in ("study.json", "study.md"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    assert_same_cells(folder, undisturbed)


def assert_same_cells(ours: Path, theirs: Path) -> None:
    for cell in ALL:
        a, b = (Places(folder).result(cell) for folder in (ours, theirs))
        assert (a / "cell.json").read_bytes() == (b / "cell.json").read_bytes()
        for split in ("seen", "unseen"):
            left, right = (json.loads((place / f"{split}.json").read_bytes()) for place in (a, b))
            for part in ("confusion", "boundary", "per_image", "classes"):
                assert left[part] == right[part]


def test_a_cell_that_fails_is_reported_tried_again_and_keeps_nobody_from_work(
    done: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    """The other cell that is to be done was trained, and is to be measured."""
    broken = Cell("scenes", "default", "broken", 0)
    variants = {**CONTENT["variants"], "broken": ["--network.backbone.name=no_such_network"]}
    grid = [{"variants": ["baseline", "released"]}, {"variants": ["broken"], "seeds": [0]}]
    study, places = write_study(tmp_path, variants=variants, grid=grid), Places(done)
    shutil.rmtree(places.result(LAST))
    early = times(done)
    for _ in range(2):
        result = command("study", study, "--output", done)
        assert result.status == 1
        assert f"classaware study: {broken} failed: classaware study: error: " in result.err
        assert "no_such_network" in result.err
        assert result.out.splitlines()[0] == str(broken)
        assert "The same command tries the failed cells again." in " ".join(result.out.split())
        assert early.items() <= times(done).items()
        assert places.is_done(LAST)
        early = times(done)
    results = json.loads((done / "study.json").read_bytes())["cells"]
    assert list(results["failed"]) == [str(broken)]
    assert results["missing"] == []
    assert len(results["done"]) == 4


def test_what_is_done_is_not_done_again(
    base: Path, undisturbed: Path, done: Path, command: Callable[..., Any], no_process: None
) -> None:
    early = times(done)
    result = command("study", base / "tiny.yaml", "--output", done)
    assert (result.status, result.err) == (0, "")
    assert times(done) == early
    assert (done / "study.json").read_bytes() == (undisturbed / "study.json").read_bytes()


def test_tables_are_written_again_from_the_cells_alone(
    base: Path, undisturbed: Path, done: Path, command: Callable[..., Any], no_process: None
) -> None:
    for path in done.iterdir():
        if path.name != "cells":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert command("study", base / "tiny.yaml", "--output", done, "--report_only").status == 0
    for name in ("study.json", "study.md", "study.html", "study.svg"):
        assert (done / name).read_bytes() == (undisturbed / name).read_bytes()
    (Places(done).result(LAST) / "cell.json").unlink()
    assert command("study", base / "tiny.yaml", "--output", done, "--report_only").status == 0
    assert json.loads((done / "study.json").read_bytes())["cells"]["missing"] == [str(LAST)]


def test_cells_of_another_study_are_adopted(
    undisturbed: Path, command: Callable[..., Any], tmp_path: Path, no_process: None
) -> None:
    """The other way round, and under other names."""
    variants = {"with-car": ["car"], "plain": []}
    study = write_study(tmp_path, name="turned", variants=variants, networks={"small": []}, seeds=[1, 0])
    folder = tmp_path / "turned"
    result = command("study", study, "--output", folder, "--adopt", undisturbed, "--only", "*/seed-1")
    assert (result.status, result.err) == (0, "")
    assert f"2 of 2 cells that are to be done are adopted from {undisturbed}" in result.out.splitlines()
    assert len(json.loads((folder / "study.json").read_bytes())["cells"]["missing"]) == 2
    assert command("study", study, "--output", folder, "--adopt", undisturbed, "--report_only").status == 0
    ours, theirs = (json.loads((place / "study.json").read_bytes()) for place in (folder, undisturbed))
    assert ours["cells"]["missing"] == []
    for mine, other in zip(ours["groups"], theirs["groups"], strict=True):
        contrasts = [group["variants"][1]["contrasts"]["mIoU"] for group in (mine, other)]
        assert contrasts[0]["difference"] == pytest.approx(-contrasts[1]["difference"])
        assert contrasts[0]["seeds"] == contrasts[1]["seeds"] == [0, 1]


def test_a_training_with_other_settings_is_not_adopted(done: Path, command: Callable[..., Any], tmp_path: Path) -> None:
    """The same arguments, but a recipe said something else at that time."""
    twin, folder = done / "cells" / LAST.folder, tmp_path / "other"
    record = json.loads((twin / "seen.json").read_bytes())
    record["training"]["configuration"]["network"]["projection"] = "3x3"
    (twin / "seen.json").write_text(json.dumps(record))
    study = write_study(tmp_path, variants={"released": ["car"]}, seeds=[1])
    result = command("study", study, "--output", folder, "--adopt", done, "--report_only")
    assert result.status == 2
    assert "no cell of tiny is done in" in result.err
    assert f'{LAST} is not adopted from {twin}: network.projection is "3x3" there, "1x1" here.' in result.out
    assert f"0 of 1 cells that are to be done are adopted from {done}" in result.out
    assert not folder.exists()


def test_some_of_the_cells_are_worked_on(
    base: Path, done: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for cell in (FIRST, LAST):
        (Places(done).result(cell) / "cell.json").unlink()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = command("study", base / "tiny.yaml", "--output", done, "--only", "*/released/*")
    assert result.status == 1
    assert [line for line in result.out.splitlines() if line.startswith("scenes/")] == [str(LAST)]
    assert f"{LAST} failed: it wrote nothing (status 1)" in result.err
    assert str(FIRST) not in result.err


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"fit": ["--trainer.max_steps=13"]}, "the cell {} was trained with '--trainer.max_steps=12'"),
        ({"datasets": {"scenes": SCENES | {"splits": ["val"]}}}, "the cell {} was not measured on"),
    ],
)
def test_a_study_whose_file_was_changed_is_refused(
    parts: dict[str, Any], message: str, done: Path, refused: Callable[..., str], tmp_path: Path, no_process: None
) -> None:
    for more in ([], ["--report_only"]):
        said = refused("study", write_study(tmp_path, **parts), "--output", done, *more)
        assert message.format(FIRST) in said


@pytest.mark.parametrize(
    ("parts", "messages"),
    [
        ({"variants": {"a": [], "b": ["carr"]}}, ["scenes/default/b/seed-0 cannot be trained: config 'carr'", "'car'"]),
        ({"fit": ["--trainer.steps=3"]}, ["scenes/default/baseline/seed-0 cannot be trained: ", "trainer.steps"]),
        ({"fit": ["--training.lr=much"]}, ["cannot be trained: ", "training.lr"]),
        ({"datasets": {"a": ["biased-scenes", "camvid"]}, "fit": []}, ["cannot be trained: ", "camvid"]),
        ({"datasets": {"a": SCENES | {"splits": ["test"]}}}, ["split 'test' does not exist", "seen, unseen"]),
        ({"datasets": {"a": SCENES | {"train_split": "x"}}}, ["split 'x' does not exist"]),
    ],
)
def test_what_cannot_be_trained_is_said_before_any_training(
    parts: dict[str, Any],
    messages: list[str],
    base: Path,
    refused: Callable[..., str],
    tmp_path: Path,
    no_process: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused("study", write_study(tmp_path, **parts), "--output", tmp_path / "out")
    for message in messages:
        assert message in said
    assert not (tmp_path / "out" / "logs").exists()


def test_a_training_that_was_begun_with_other_arguments_is_refused(
    base: Path, done: Path, refused: Callable[..., str], tmp_path: Path, no_process: None
) -> None:
    """Its cells are not done, so nothing else would tell."""
    shutil.rmtree(done / "cells")
    study = write_study(tmp_path, fit=[part.replace("steps=12", "steps=24") for part in CONTENT["fit"]])
    said = refused("study", study, "--output", done)
    assert f"the training of {FIRST} was begun with '--trainer.max_steps=12'" in said
    assert f"remove {Places(done).run(FIRST)} to begin anew" in said


def test_other_words_for_what_cannot_be(
    base: Path, refused: Callable[..., str], tmp_path: Path, no_process: None
) -> None:
    study = base / "tiny.yaml"
    assert "no cell of tiny is done in" in refused("study", study, "--output", tmp_path / "none", "--report_only")
    assert not (tmp_path / "none").exists()
    assert "--time_limit 'soon' must be a time" in refused("study", study, "--time_limit", "soon")
    assert "no cell of tiny fits 'x'" in refused("study", study, "--only", "x")
    assert "cannot read the study" in refused("study", tmp_path / "none.yaml")
    assert "no cell of a study is done there" in refused("study", study, "--adopt", tmp_path / "none")
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused("study", study, "--output", tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("2h", 7200), ("1h30m", 5400), ("45s", 45), ("1.5h", 5400), ("10", 600), ("1d", 86400)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "5x", "1h30", "m", "1 h", "nan", "5 m"])
def test_no_times(text: str) -> None:
    with pytest.raises(InputError, match="must be a time such as"):
        parse_time(text)
