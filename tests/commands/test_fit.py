"""``classaware fit`` from the command line to files and back."""

import csv
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from classaware.commands.configuration import expand_recipes
from classaware.commands.fit import build_parser
from classaware.recipes import BLOCKS

TERMS = ("train/intra_c2p", "train/inter_c2c", "train/inter_c2p")
RECIPES = [name for name in BLOCKS if "/" not in name]


def metrics(output: Path, name: str = "logs") -> list[dict[str, str]]:
    with (output / name / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def logged(rows: list[dict[str, str]], name: str) -> dict[int, float]:
    return {int(row["step"]): float(row[name]) for row in rows if row.get(name)}


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def parse(*arguments: str) -> Any:
    return build_parser().parse_args(expand_recipes(arguments))


@pytest.mark.parametrize("run", ["car_run", "plain_run"])
def test_all_files_are_there_and_nothing_half_written(run: str, request: pytest.FixtureRequest) -> None:
    output = request.getfixturevalue(run)
    for name in ("last.ckpt", "best.ckpt", "config.yaml", "logs/metrics.csv"):
        assert (output / name).stat().st_size > 0, name
    assert list((output / "tensorboard").glob("events.out.tfevents.*"))
    assert not list(output.rglob("*.part"))


def test_metrics_with_car(car_run: Path) -> None:
    rows = metrics(car_run)
    terms = {name: logged(rows, name) for name in ("loss", "train/ce", *TERMS)}
    assert all(set(values) == {0, 1, 2, 3} for values in terms.values())
    for step, loss in terms["loss"].items():
        assert loss == pytest.approx(sum(terms[name][step] for name in ("train/ce", *TERMS)), rel=1e-5)
    assert logged(rows, "train/lr") == pytest.approx({s: 0.01 * (1 - s / 4) ** 0.9 for s in range(4)}, rel=1e-5)
    assert len(logged(rows, "val/miou")) == 2
    assert all(0 <= value <= 1 for name in ("val/miou", "val/pixel_accuracy") for value in logged(rows, name).values())


def test_metrics_without_car(plain_run: Path) -> None:
    rows = metrics(plain_run)
    assert logged(rows, "loss") == logged(rows, "train/ce")
    assert not set(TERMS) & set(rows[0])


def test_checkpoint_is_plain_and_says_what_the_network_is(car_run: Path, folder: Path) -> None:
    checkpoint = load(car_run / "last.ckpt")
    assert checkpoint["global_step"] == 4
    card = checkpoint["classaware"]
    assert card["class_names"] == ["sky", "road", "car"]
    assert card["network"]["car"] == "on"
    assert card["network"]["num_classes"] == 3
    assert card["dataset"]["init_args"]["root"] == str(folder.absolute())
    assert card["ignore_index"] == 255


def test_best_checkpoint_is_the_validation_with_the_highest_miou(car_run: Path) -> None:
    miou = logged(metrics(car_run), "val/miou")
    best = max(miou, key=lambda step: miou[step]) + 1
    assert load(car_run / "best.ckpt")["global_step"] == best


def test_the_same_seed_gives_the_same_weights(
    command: Callable[..., Any], options: list[str], plain_run: Path, tmp_path: Path
) -> None:
    assert command(*options, "--output", tmp_path / "again").status == 0
    ours, again = (load(output / "last.ckpt")["state_dict"] for output in (plain_run, tmp_path / "again"))
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    assert command(*options, "--seed", 1, "--output", tmp_path / "other").status == 0
    other = load(tmp_path / "other" / "last.ckpt")["state_dict"]
    assert any(not torch.equal(ours[name], other[name]) for name in ours)


def test_a_successful_run_is_silent_on_the_error_stream_and_adamw_trains(
    command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    result = command(*options, "--training.optimizer", "adamw", "--training.lr", "1e-3", "--output", tmp_path / "run")
    assert (result.status, result.err) == (0, "")
    checkpoint = load(tmp_path / "run" / "last.ckpt")
    assert "betas" in checkpoint["optimizer_states"][0]["param_groups"][0]
    assert all(math.isfinite(loss) for loss in logged(metrics(tmp_path / "run"), "loss").values())


def test_resumed_run_ends_bitwise_where_the_whole_run_ends(
    command: Callable[..., Any], options: list[str], car_run: Path, tmp_path: Path
) -> None:
    resume = [*options, "--network.car", "on", "--ckpt_path", car_run / "step2.ckpt"]
    result = command(*resume, "--output", tmp_path / "run")
    assert (result.status, result.err) == (0, "")
    whole, resumed = load(car_run / "last.ckpt"), load(tmp_path / "run" / "last.ckpt")
    assert resumed["global_step"] == whole["global_step"] == 4
    assert whole["state_dict"].keys() == resumed["state_dict"].keys()
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in whole["state_dict"].items())
    middle = load(car_run / "step2.ckpt")["state_dict"]
    assert not torch.equal(middle["network.classifier.weight"], resumed["state_dict"]["network.classifier.weight"])
    later = {step: loss for step, loss in logged(metrics(car_run), "loss").items() if step >= 2}
    assert logged(metrics(tmp_path / "run"), "loss") == later


def test_resuming_in_place_continues_the_log(
    command: Callable[..., Any], options: list[str], car_run: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(car_run, output)
    again = [*options, "--network.car", "on", "--ckpt_path", output / "step2.ckpt", "--output", output]
    assert command(*again).status == 0
    assert (output / "logs" / "metrics.csv").read_bytes() == (car_run / "logs" / "metrics.csv").read_bytes()
    assert not list(output.glob("logs-*"))


def test_a_run_is_not_overwritten(refused: Callable[..., str], options: list[str], plain_run: Path) -> None:
    before = (plain_run / "last.ckpt").read_bytes()
    error = refused(*options, "--output", plain_run)
    assert str(plain_run) in error
    assert "--ckpt_path" in error
    assert (plain_run / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--network.car", "on"], "nothing left to train"),
        (["--network.car", "off"], "network.car"),
        (["--network.car", "on", "--network.head.channels", "16"], "network.head.init_args.channels"),
        (["--network.car", "on", "--training.optimizer", "adamw"], "training.optimizer=adamw"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_before_anything_is_written(
    refused: Callable[..., str], options: list[str], car_run: Path, tmp_path: Path, more: list[str], named: str
) -> None:
    checkpoint = car_run / "last.ckpt"
    error = refused(*options, *more, "--ckpt_path", checkpoint, "--output", tmp_path / "run")
    assert str(checkpoint) in error
    assert named in error
    assert not (tmp_path / "run").exists()


def test_printed_configuration_can_be_fed_back(command: Callable[..., Any], options: list[str], tmp_path: Path) -> None:
    printed = command(*options, "--training.lr", "0.5", "--print_config")
    assert (printed.status, printed.err) == (0, "")
    (tmp_path / "config.yaml").write_text(printed.out)
    config = parse("--config", str(tmp_path / "config.yaml"))
    assert config.training.lr == 0.5
    assert config.trainer.max_steps == 4
    assert config.network.head.init_args.channels == 8
    again = command("fit", "--config", tmp_path / "config.yaml", "--print_config")
    assert again.out == printed.out


def test_saved_configuration_describes_the_run(plain_run: Path) -> None:
    saved = yaml.safe_load((plain_run / "config.yaml").read_text())
    assert saved["network"]["backbone"]["name"] == "test_resnet"
    assert saved["network"]["car"] == "off"
    config = parse("--config", str(plain_run / "config.yaml"))
    assert config.data.dataset.init_args.root == Path(saved["data"]["dataset"]["init_args"]["root"])


def test_later_configurations_and_options_win(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("training: {lr: 1.0, power: 0.5}\nnetwork: {car: 'off'}\n")
    (tmp_path / "b.yaml").write_text("training: {lr: 2.0}\n")
    base = ["--config", "biased-scenes", "--config", str(tmp_path / "a.yaml"), f"--config={tmp_path / 'b.yaml'}"]
    config = parse(*base, "--config", "car", "--training.momentum", "0.5")
    assert (config.training.lr, config.training.power, config.training.momentum) == (2.0, 0.5, 0.5)
    assert config.network.car == "on"
    assert config.trainer.max_steps == 800
    assert parse(*base, "--training.lr", "3").training.lr == 3.0
    assert parse(*base, "--config", str(tmp_path / "a.yaml")).training.lr == 1.0


@pytest.mark.parametrize("name", RECIPES)
def test_packaged_recipes_are_valid(name: str) -> None:
    base = [] if name in ("biased-scenes", "camvid") else ["--config", "biased-scenes"]
    assert parse(*base, "--config", name, *([] if name != "camvid" else ["--config", "lite0-self-attention"]))
    assert parse(*base, "--config", f"{name}.yaml", *([] if name != "camvid" else ["--config=lite0-self-attention"]))


def test_a_file_of_a_recipes_name_goes_before_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("car").write_text("network: {car: 'off'}\n")
    assert parse("--config", "biased-scenes", "--config", "car").network.car == "off"


def test_last_checkpoint_knows_the_best_one(car_run: Path) -> None:
    """Otherwise a resumed run would take its next validation for the best, whatever came before."""
    states = torch.load(car_run / "last.ckpt", weights_only=True)["callbacks"]
    (best,) = (state for name, state in states.items() if name.startswith("SaveBest"))
    with (car_run / "logs" / "metrics.csv").open() as file:
        scores = [float(row["val/miou"]) for row in csv.DictReader(file) if row["val/miou"]]
    assert best["score"] == pytest.approx(max(scores))
