"""Shell completion: what the help lists is offered, by bash and zsh themselves, and what is offered is accepted."""

import os
import re
import shlex
import shutil
import subprocess
from argparse import ArgumentError
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from classaware.commands import data, insight
from classaware.commands.completion import collect
from classaware.commands.completion_scripts import write_script
from classaware.commands.main import COMMANDS
from classaware.data.sources import SOURCES
from classaware.recipes import BLOCKS, ROWS

Complete = Callable[..., list[str]]
GROUPS = {"data": data.ACTIONS, "insight": insight.ACTIONS}
PATHS = [(name,) for name in COMMANDS if name not in GROUPS]
PATHS += [(group, action) for group, actions in GROUPS.items() for action in actions]

# What zsh's completion system does with what the script hands it; _describe takes the name of an array.
IN_ZSH = """
compdef() { }
compadd() { shift; print -l -- "$@" }
_describe() { print -l -- "${(@P)2%%:*}" }
_files() { print FILES }
compset() { PREFIX=${PREFIX#*=} }
"""


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with both scripts."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh"):
        (folder / shell).write_text(write_script(shell, *collect()))
    return folder


def output(*command: str, folder: Path) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


@pytest.fixture
def in_bash(scripts: Path, tmp_path: Path) -> Complete:
    """What bash offers in place of the last word; it ends after a word alone, before names of files."""

    def call(*words: str) -> list[str]:
        typed = shlex.join(["classaware", *words])
        ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _classaware; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        lines = output("bash", "--norc", "-c", f"source {scripts / 'bash'}; {ask}", folder=tmp_path)
        return [line for line in lines if line]

    return call


@pytest.fixture
def in_zsh(scripts: Path, tmp_path: Path) -> Complete:
    """What zsh offers in place of the last word."""
    if shutil.which("zsh") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("zsh is missing (Debian: apt-get install zsh)")
        pytest.skip("zsh is missing")

    def call(*words: str) -> list[str]:
        typed = shlex.join(["classaware", *words])
        ask = f"words=({typed}); CURRENT={len(words) + 1}; PREFIX=${{words[CURRENT]}}; _classaware"
        lines = output("zsh", "-f", "-c", f"{IN_ZSH} source {scripts / 'zsh'}; {ask}", folder=tmp_path)
        return [line for line in lines if line]

    return call


@pytest.fixture(params=["in_bash", "in_zsh"])
def complete(request: pytest.FixtureRequest) -> Complete:
    """Either shell."""
    offered: Complete = request.getfixturevalue(request.param)
    return offered


def test_commands_and_actions(complete: Complete) -> None:
    assert set(complete("")) - {"--help", "--version"} == set(COMMANDS)
    for group, actions in GROUPS.items():
        assert complete(group, "") == list(actions)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_options_are_those_of_the_help(in_bash: Complete, command: Callable[..., Any], path: tuple[str, ...]) -> None:
    text = command(*path, "--help").out
    listed = set(re.findall(r"^  (?:-h, )?(--[\w.]+)", text, re.MULTILINE))
    listed |= set(re.findall(r"\[(--[\w.]+)", text.partition("\n\n")[0]))
    assert "--help" in listed
    offered = set(in_bash(*path, "--"))
    assert listed <= offered
    # Some that the help shows in the line of another are offered, too.
    assert all(option in text for option in offered)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["fit", "--regularizer.preset", ""], ["released", "paper", "masked"]),
        (["fit", "--network.car", ""], ["off", "on", "true", "false"]),
        (["predict", "--flip", ""], ["true", "false"]),
        (["fit", "--rival", ""], ["CenterLoss", "PixelContrast", "null"]),
        (["insight", "dependency", "--form", ""], ["paper", "unit", "cosine", "null"]),
        (["fit", "--seed", ""], []),
    ],
)
def test_values_of_options(complete: Complete, words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered


def test_only_what_begins_as_typed(in_bash: Complete) -> None:
    assert in_bash("fi") == ["fit"]
    assert in_bash("insight", "rel") == ["relation"]
    assert in_bash("fit", "--regularizer.preset", "pa") == ["paper"]
    assert in_bash("fit", "--network.pro") == ["--network.projection"]
    assert in_bash("fit", "--seed", "0", "--network.projection", "1") == ["1x1"]


def test_option_and_value_in_one(in_bash: Complete, in_zsh: Complete) -> None:
    assert in_bash("fit", "--regularizer.preset", "=") == ["released", "paper", "masked"]
    assert in_bash("fit", "--regularizer.preset", "=", "ma") == ["masked"]
    assert in_zsh("fit", "--regularizer.preset=ma") == ["released", "paper", "masked"]


def test_recipes_stand_beside_files(in_bash: Complete, in_zsh: Complete, tmp_path: Path) -> None:
    (tmp_path / "strong and long.yaml").touch()
    assert {*in_bash("fit", "--config", "strong")} == {"strong-adamw", "strong", "strong and long.yaml"}
    assert set(in_bash("fit", "--config", "table1/")) == {name for name in ROWS if name.startswith("table1/")}
    assert in_zsh("fit", "--config", "") == [*ROWS, *BLOCKS, "FILES"]
    assert in_bash("fit", "--config", "strong and") == []  # bash itself finds the file


def test_arguments(complete: Complete) -> None:
    named = {*complete("data", "prepare", "")} - {"FILES"}
    assert named == {*SOURCES}
    assert {"show", *ROWS, *BLOCKS} == {*complete("recipes", "--json", "")} - {"FILES"}
    assert {*complete("completion", "")} - {"FILES"} == {"bash", "zsh"}
    assert {*complete("weights", "--overwrite", "true", "")} <= {"FILES"}


def test_what_is_unknown_is_left_to_the_shell(complete: Complete) -> None:
    assert {*complete("nonsense", "")} <= {"FILES"}
    assert complete("data", "nonsense", "--") == []


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_values_are_accepted(path: tuple[str, ...]) -> None:
    parser = import_module(f"classaware.commands.{'.'.join(path)}").build_parser()
    options = collect()[1][" ".join(path)].options
    for option, taken in options.items():
        if taken is None or option == "--config" or option.endswith(".help"):
            continue
        for word in taken.words:
            error = parse_error(parser, [option, word])
            # Required arguments may be missing, and classes want arguments of their own: nothing against the word.
            assert re.search("^$|required|needed", error), (option, word, error)


def parse_error(parser: ArgumentParser, arguments: list[str]) -> str:
    try:
        parser.parse_args(arguments)
    except ArgumentError as error:
        return str(error)
    return ""


def test_script_and_help(command: Callable[..., Any], refused: Callable[..., str], scripts: Path) -> None:
    result = command("completion", "bash")
    assert (result.status, result.err) == (0, "")
    assert result.out == (scripts / "bash").read_text()
    assert "  classaware completion zsh > ~/.zfunc/_classaware\n" in command("completion", "--help").out
    assert "invalid choice: 'fish' (choose from" in refused("completion", "fish")
