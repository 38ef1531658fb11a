"""The command line as a whole: help, version, unknown commands, and errors in one line."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from classaware import __version__
from classaware.commands import evaluate
from classaware.commands.main import COMMANDS, main


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_usage_lists_all_commands(command: Callable[..., Any], arguments: list[str]) -> None:
    result = command(*arguments)
    assert result.status == 0
    assert not result.err
    assert all(f"  {name} " in result.out for name in COMMANDS)


def test_version(command: Callable[..., Any]) -> None:
    assert command("--version") == (0, f"classaware {__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(command: Callable[..., Any], name: str) -> None:
    result = command(name, "--help")
    assert result.status == 0
    assert not result.err
    assert result.out.startswith(f"usage: classaware {name}")
    assert "--output" in result.out or name in ("evaluate", "data", "insight", "weights", "export", "completion")


@pytest.mark.parametrize(("typed", "meant"), [("fti", "fit"), ("evaluat", "evaluate"), ("predit", "predict")])
def test_unknown_command_with_a_suggestion(refused: Callable[..., str], typed: str, meant: str) -> None:
    assert refused(typed) == f"classaware: error: unknown command {typed!r}; did you mean {meant!r}?\n"


@pytest.mark.parametrize("typed", ["xyzzy", "--verbose", ""])
def test_unknown_command_without_a_neighbor_lists_all(refused: Callable[..., str], typed: str) -> None:
    error = refused(typed)
    assert repr(typed) in error
    assert ", ".join(COMMANDS) in error


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "classaware evaluate: error: interrupted\n"),
        (OSError(28, "No space left on device", "/full/x"), 2, "/full/x: No space left on device\n"),
        (ModuleNotFoundError("No module named 'timm'", name="timm"), 2, "pip install 'classaware[train]'\n"),
    ],
)
def test_what_is_no_fault_of_the_program_is_one_line(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int, line: str
) -> None:
    def run(arguments: list[str]) -> None:
        raise raised

    monkeypatch.setattr(evaluate, "run", run)
    result = command("evaluate", "x.ckpt")
    assert result.status == status
    assert result.err.endswith(line)
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "raised", [RuntimeError("a fault"), ModuleNotFoundError("a fault", name="classaware.nonsense")]
)
def test_faults_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, raised: Exception) -> None:
    def run(arguments: list[str]) -> None:
        raise raised

    monkeypatch.setattr(evaluate, "run", run)
    with pytest.raises(type(raised), match="a fault"):
        main(["evaluate", "x.ckpt"])


def python_m(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "classaware", *arguments], capture_output=True, text=True)


def test_module_can_be_run() -> None:
    done = python_m("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"classaware {__version__}\n", "")


def test_status_reaches_the_shell() -> None:
    done = python_m("evaluate", "there-is-no-such.ckpt")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "classaware evaluate: error: checkpoint there-is-no-such.ckpt does not exist.\n"


def test_a_traceback_can_be_asked_for(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("evaluate", "missing.ckpt")
    last = command(*missing).err.splitlines()[-1]
    monkeypatch.setenv("CLASSAWARE_TRACEBACK", "1")
    lines = command(*missing).err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == last
