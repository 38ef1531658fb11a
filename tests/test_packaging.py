"""What is declared and what is used; the two ways to start the program."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import classaware
from classaware.commands.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCRIPT = "import sys; sys.argv[0] = 'classaware'; from {module} import {function}; sys.exit({function}())"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """Names of what the package and these extras ask for, extras of its own followed."""
    asked: list[str] = [*PROJECT["dependencies"]]
    for extra in extras:
        asked += PROJECT["optional-dependencies"][extra]
    names = {canonical(re.split(r"[\[<>=]", requirement)[0]) for requirement in asked}
    inner = re.findall(r"classaware\[([\w,]+)\]", " ".join(asked))
    return names.union(*(declared(*extra.split(",")) for extra in inner)) - {"classaware"}


def imported(files: Iterable[Path]) -> set[str]:
    """Distributions of what files import, wherever in them; what torch brings along for itself is no one's business."""
    modules: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add((node.module or "").partition(".")[0])
    known = packages_distributions()
    modules -= {*sys.stdlib_module_names, "classaware", "triton", "pip"}
    return {canonical(known[module][0]) for module in modules if module in known}


def test_what_the_package_imports_is_declared() -> None:
    used = imported((ROOT / "src").rglob("*.py"))
    assert {"torch", "timm", "jsonargparse"} <= used
    assert used <= declared("train", "export", "offline")


def test_the_regularizer_imports_torch_alone() -> None:
    assert imported((ROOT / "src" / "classaware" / "regularization").rglob("*.py")) == {"torch"} == declared()


@pytest.mark.parametrize(
    ("folder", "extras"), [("tests", ("test",)), ("examples", ("test",)), ("benchmarks", ("bench", "export"))]
)
def test_what_everything_else_imports_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    assert imported((ROOT / folder).rglob("*.py")) <= declared(*extras)


def test_everything_is_what_developers_get() -> None:
    assert declared("dev") >= declared("train", "export", "offline", "bench", "docs", "test")


def lowest_versions(pyproject: Path) -> subprocess.CompletedProcess[str]:
    script = (ROOT / ".ci" / "lowest_versions.py").read_text().replace("Path(__file__).resolve().parents[1]", "Path()")
    return subprocess.run([sys.executable, "-c", script], cwd=pyproject.parent, capture_output=True, text=True)


def test_lowest_versions_are_all_that_is_declared() -> None:
    done = lowest_versions(ROOT / "pyproject.toml")
    assert (done.returncode, done.stderr) == (0, "")
    pins = dict(line.split("==") for line in done.stdout.splitlines())
    assert {canonical(name) for name in pins} == declared("train", "export", "offline", "test")
    assert f"torch>={pins['torch']}" in PROJECT["dependencies"]
    assert pins["pytorch-lightning"] == "2.6.4"


def test_lowest_version_is_missing(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(re.sub(r'"rich>=[\d.]+"', '"rich"', text))
    done = lowest_versions(tmp_path / "pyproject.toml")
    assert done.returncode == 1
    assert "'rich' names no lowest version" in done.stderr


def test_version_is_the_same_everywhere() -> None:
    assert PROJECT["version"] == classaware.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) in ([], [classaware.__version__])
    assert f"## {classaware.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["--version"], 0), (["weights", "a", "b"], 2), (["fti"], 2)]
)
def test_console_script_and_module_are_one_program(arguments: list[str], status: int) -> None:
    module, function = PROJECT["scripts"]["classaware"].split(":")
    installed = Path(sys.executable).with_name("classaware")
    script = [str(installed)] if installed.exists() else [sys.executable, "-c", SCRIPT.format(**locals())]
    ways = (script, [sys.executable, "-m", "classaware"])
    first, second = (subprocess.run([*way, *arguments], capture_output=True, text=True) for way in ways)
    assert (first.returncode, first.stdout, first.stderr) == (second.returncode, second.stdout, second.stderr)
    assert first.returncode == status
    assert first.stdout or first.stderr.count("\n") == 1


def test_commands_are_files() -> None:
    commands = ROOT / "src" / "classaware" / "commands"
    assert all((commands / f"{name}.py").is_file() or (commands / name / "__init__.py").is_file() for name in COMMANDS)
