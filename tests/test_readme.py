"""What the README shows works as it stands."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from classaware.commands.configuration import expand_recipes
from classaware.commands.fit import build_parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in BLOCKS if language == "python"]


def test_python_blocks_run_one_after_the_other():
    names: dict = {}
    exec(compile(PYTHON[0], "README.md", "exec"), names)
    model, images = names["model"].eval(), names["images"]
    with torch.no_grad():
        names["tap"].bias.normal_()
        before = model(images)["out"]
    for code in PYTHON[1:]:
        exec(compile(code, "README.md", "exec"), names)
    with torch.no_grad():
        torch.testing.assert_close(model(images)["out"], before, rtol=1e-4, atol=1e-4)


def test_drop_in_block_is_about_ten_lines_beyond_the_imports():
    lines = [line for line in PYTHON[0].splitlines() if line.strip() and not re.match(r"import|from", line)]
    assert len(lines) <= 12


def test_fit_commands_parse():
    """Every option that the README gives to fit exists and has a valid value."""
    shell = "\n".join(code for language, code in BLOCKS if not language).replace("\\\n", " ")
    commands = [line for line in shell.splitlines() if line.startswith("classaware fit") and "..." not in line]
    assert len(commands) == 3
    for command in commands:
        arguments = shlex.split(command)[2:]
        config = build_parser().parse_args(expand_recipes(arguments))
        assert config.network.car == "on"


DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_that_documents_link_to_exist(document):
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert links or document.name != "README.md"
    for link in links:
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize("name", ["recipes.md"])
def test_fit_commands_of_documents_parse(name):
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / name).read_text(), re.DOTALL | re.MULTILINE)
    commands = [
        c for block in blocks for c in block.replace("\\\n", " ").splitlines() if c.startswith("classaware fit")
    ]
    assert commands
    for command in commands:
        assert build_parser().parse_args(expand_recipes(shlex.split(command)[2:])).network.head
