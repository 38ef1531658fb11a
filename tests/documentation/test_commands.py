"""Every command line of README and documentation: run on small stand-ins, or in the list of what cannot be run here."""

import importlib
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Line, command_lines

from classaware.commands.configuration import expand_recipes
from classaware.commands.fit import build_parser
from classaware.commands.main import COMMANDS, main
from classaware.study.reading import read_study

# Words that stand for something of the reader's own.
PLACEHOLDERS = {"CAMVID": "data/camvid", "MSRC21": "my-data", "RUN": "runs/car", "S": "0"}

# Options behind a command that make it small.
SMALL_NETWORK = (
    "--network.backbone.name test_resnet --network.backbone.pretrained no --network.backbone.output_stride 32 "
    "--network.backbone.multi_grid [] --network.backbone.drop_path null --network.backbone.fuse null "
    "--network.backbone.norm_levels null --network.backbone.top false --network.head.channels 16"
)
SMALL_TRAINING = (
    "--trainer.max_steps 1 --trainer.val_check_interval 1 --trainer.accelerator cpu --data.batch_size 2 "
    "--data.num_workers 0 --data.crop_size [64,64] --inference.pad_size null"
)
SMALLER = {
    "fit": f"{SMALL_NETWORK} {SMALL_TRAINING}",
    "evaluate": "--num_workers 0 --batch_size 1 --device cpu",
    "explore": "--count 2 --device cpu",
    "report": "--images 1 --explorer false --num_workers 0 --device cpu",
    "insight dependency": "--device cpu",
    "insight counterfactual": "--device cpu --objects 4",
    "insight relation": "--device cpu",
    "insight combinations": "--workers 1",
    "data check": "--workers 1",
    "data pairs": "--workers 1",
    "data prepare": "--workers 1",
    "predict": "--device cpu",
}
SMALLER_LINES = {  # what fits one line only
    "--dataset BiasedScenes": "--dataset.root scenes --dataset.size 48 --dataset.train 2 --dataset.test 2",
    "--config camvid": "--data.image_size [32,64] --data.crop_size null",
    "--config table": "--data.val_split test",
}

# Words of a line, most of them files, for which an earlier line of its page has to have run.
MADE_BEFORE = {
    "--report_only": "study study.yaml --output studies/mine",
    "mine.onnx": "export runs/mine/last.ckpt mine.onnx",
    "runs/mine/val.json": "evaluate runs/mine/last.ckpt --split val --json runs/mine/val.json --num_workers 0",
}

# What cannot be run here, and why: the beginning of a line, the reason, and what is looked at instead.
NOT_RUN = {
    "pip install": ("would change this environment", "extras"),
    "make ": ("sets up an environment of its own", "target"),
    "torchrun": ("several processes; tests/commands/test_fit_distributed.py runs them", "fit"),
    "classaware study studies/": ("takes hours; tests/commands/test_study.py runs small ones", "study"),
    "classaware demo": ("takes minutes; tests/commands/test_demo.py runs it with --quick", "options"),
    "python benchmarks/": ("takes minutes; tests/test_benchmarks.py runs them small", "file"),
    "python examples/": ("tests/examples runs them", "file"),
    "python studies/": ("tests/documentation/test_evidence.py calls it", "file"),
    "classaware fit --config table1/r8 --data.batch_size 4 --trainer.devices": ("four processes", "fit"),
}

LINES = [line for page in PAGES for line in command_lines(page)]
UNIQUE = list({line.text: line for line in LINES}.values())


def reason_not_to_run(line: Line) -> tuple[str, str] | None:
    return next((reason for start, reason in NOT_RUN.items() if line.text.startswith(start)), None)


RUN = [line for line in UNIQUE if reason_not_to_run(line) is None]
LOOKED_AT = [line for line in UNIQUE if reason_not_to_run(line) is not None]


def command_of(words: list[str]) -> str:
    """Name of a command, with its action where it has some."""
    return " ".join(words[1:3]) if words[1] in ("insight", "data") else words[1]


def words_to_run(line: Line) -> list[str]:
    """The line's words with placeholders filled in, names expanded as a shell does, and what makes it small behind."""
    words: list[str] = []
    for word in line.words[: line.words.index(">")] if ">" in line.words else line.words:
        name = re.sub(r"\b(" + "|".join(PLACEHOLDERS) + r")\b", lambda match: PLACEHOLDERS[match[0]], word)
        words += sorted(map(str, Path().glob(name))) if "*" in name and not line.is_quoted(word) else [name]
    more = SMALLER.get(command_of(words), "").split()
    for part, options in SMALLER_LINES.items():
        more += options.split() if part in line.text else []
    if words[1] == "data" and len(words) == 3:
        more = []
    if words[1:3] == ["data", "prepare"] and "--source" not in words:
        more = []
    return words[1:] + more


def make_room(words: list[str]) -> None:
    """Take away what stands where a command writes to, but not what it works on."""
    if "--report_only" in words:
        return
    for option in ("--output", "--out"):
        if option in words:
            target = Path(words[words.index(option) + 1])
            shutil.rmtree(target, ignore_errors=True)


@pytest.mark.parametrize("line", RUN, ids=lambda line: f"{line.page}: {line.text[:100]}")
def test_command_line_runs(line: Line, bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert line.words[0] == "classaware", f"{line.page}: neither run nor in NOT_RUN: {line.text}"
    words = words_to_run(line)
    for file, command in MADE_BEFORE.items():
        if file in words and (file.startswith("--") or words[0] != command.split()[0]):
            assert main(command.split()) == 0
    make_room(words)
    for _ in range(2 if "--resume" in words else 1):
        status = main(words)
        assert status == 0, f"classaware {' '.join(words)}\n{capsys.readouterr().err}"


def look_at_extras(line: Line) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"\[(\w+)\]", line.text):
        assert extra in project["optional-dependencies"]


def look_at_target(line: Line) -> None:
    for target in line.words[1:]:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def look_at_fit(line: Line) -> None:
    words = line.words[line.words.index("fit") + 1 :]
    assert build_parser().parse_args(expand_recipes(words)).network.head


def look_at_options(line: Line) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in line.words]
    parser = importlib.import_module(f"classaware.commands.{words[1]}").build_parser()
    assert parser.parse_args(words[2:]) is not None


def look_at_study(line: Line) -> None:
    study = read_study(ROOT / line.words[2])
    for cell in {(cell.dataset, cell.network, cell.variant): cell for cell in study.cells}.values():
        assert build_parser().parse_args(expand_recipes(study.resolved_arguments(cell))).network.head


def look_at_file(line: Line) -> None:
    assert (ROOT / line.words[1]).is_file()


LOOKS: dict[str, Callable[[Line], None]] = {
    "extras": look_at_extras,
    "target": look_at_target,
    "fit": look_at_fit,
    "options": look_at_options,
    "file": look_at_file,
    "study": look_at_study,
}


@pytest.mark.parametrize("line", LOOKED_AT, ids=lambda line: f"{line.page}: {line.text[:100]}")
def test_command_line_that_is_not_run_names_what_is_there(line: Line) -> None:
    reason = reason_not_to_run(line)
    assert reason is not None
    LOOKS[reason[1]](line)


def test_nothing_in_the_list_is_left_over() -> None:
    starts = {start for start in NOT_RUN if not any(line.text.startswith(start) for line in LINES)}
    assert starts == set()
    assert set(SMALLER) <= {command_of(line.words) for line in RUN}


def test_every_command_is_shown_somewhere() -> None:
    shown = {line.words[1] for line in LINES if line.words[0] == "classaware"}
    assert shown == set(COMMANDS)
