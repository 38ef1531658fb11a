"""``classaware insight combinations`` from records and masks to files."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_world import guesses, record_of, striped_maps, write_dataset

from classaware.evaluation.record import read_record, write_record

K = 4
NAMES = ("<img src=x onerror=alert(1)>", "road|way", "[red]car[/red]", "$pole_")
KINDS = ["csv", "json", "md", "png", "svg"]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A data set, and two evaluations a side of its test split."""
    labels = striped_maps(3, 40, K)
    write_dataset(tmp_path / "data", {"train": striped_maps(4, 5, K), "test": labels}, NAMES)
    dataset = {"class_path": "FolderDataset", "init_args": {"root": str(tmp_path / "data")}}
    for number, name in enumerate(("car0", "car1", "plain0", "plain1")):
        seed = number % 2
        record = record_of(
            labels,
            guesses(labels, number, K, 0.9 if "car" in name else 0.6),
            K,
            class_names=NAMES,
            data={"name": "Tiny", "split": "test", "images": 40, "dataset": dataset},
            training={"seed": seed},
            checkpoint={"sha256": str(number)},
        )
        write_record(tmp_path / name / "test.json", record)
    return tmp_path


def test_from_records_to_files(world: Path, command: Callable[..., Any]) -> None:
    output = world / "out" / "new"
    sides = [world / "car0", world / "car1", "--against", world / "plain1", world / "plain0", "--names", "CAR", "plain"]
    done = command("insight", "combinations", *sides, "--output", output)
    assert done.status == 0, done.err
    assert sorted(path.name for path in output.iterdir()) == [f"combinations.{kind}" for kind in KINDS]
    found = json.loads((output / "combinations.json").read_text())
    assert list(found)[:2] == ["format", "version"]
    assert found["format"] == "classaware-combinations"
    assert (found["together"], found["split"], found["train_split"]) == ("touching", "test", "train")
    assert (found["paired_by"], found["images"], found["training_images"]) == ("seed", 40, 5)
    assert found["ours"]["mean_ious"] == [read_record(world / f"car{i}" / "test.json").mean_iou for i in range(2)]
    gap = found["gap"]["gap"]
    stated = [f"{100 * gap[side]['value']:+.2f} points" for side in ("ours", "theirs", "difference")]
    markdown = (output / "combinations.md").read_text()
    for text in stated:
        assert text in " ".join(done.out.split())
        assert text.replace("_", "\\_") in markdown
    rows = list(csv.DictReader(io.StringIO((output / "combinations.csv").read_text())))
    assert len(rows) == len(found["pairs"])
    for row, pair in zip(rows, found["pairs"], strict=True):
        assert (row["class"], row["partner"]) == (pair["name"], pair["partner"])
        effect = pair["effect"]["difference"]
        assert row["CAR - plain: effect"] == ("" if effect["value"] is None else str(effect["value"]))
        assert row["CAR - plain: effect low"] == ("" if effect["interval"] is None else str(effect["interval"][0]))
    assert np.asarray(Image.open(output / "combinations.png").convert("L")).std() > 5
    for kind in KINDS:
        assert str(output / f"combinations.{kind}") in done.out
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert command("insight", "combinations", *sides, "--output", output).status == 0
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_eighty_columns_are_enough(world: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for sides in ([], ["--against", world / "plain0", world / "plain1", "--names", "with CAR", "without it at all"]):
        done = command("insight", "combinations", world / "car0", world / "car1", *sides, "--output", world / "out")
        assert done.status == 0, done.err
        lines = [line for line in done.out.splitlines() if str(world) not in line]
        assert max(map(len, lines)) <= 80
        found = json.loads((world / "out" / "combinations.json").read_text())
        for group in found["groups"]:
            score = group["mean_iou"]["difference" if sides else "ours"]
            shown = [line for line in lines if line.startswith(f" {group['group']} ")]
            if not group["units"]:
                continue
            low, high = score["interval"]
            ends = f"{100 * low:+.2f}..{100 * high:+.2f}" if sides else f"{100 * low:.2f}..{100 * high:.2f}"
            assert any(re.search(rf" {group['units']} .* {re.escape(ends)}( |$)", line) for line in shown)
        empty = [group["group"] for group in found["groups"] if not group["units"]]
        assert empty
        for group in set(empty):
            count = sum(line.startswith(f" {group} ") for line in lines)
            assert count == 2 - empty.count(group)


def test_names_are_shown_literally(world: Path, command: Callable[..., Any]) -> None:
    done = command("insight", "combinations", world / "car0", "--names", "[b]x[/b]", "--output", world / "out")
    assert done.status == 0, done.err
    assert "[red]car[/red]" in done.out
    assert "[b]x[/b]" in done.out
    markdown = (world / "out" / "combinations.md").read_text()
    assert "<img" not in markdown.replace("\\<", "")
    assert "road\\|way" in markdown


def test_options_change_what_is_counted(world: Path, command: Callable[..., Any]) -> None:
    def found(*options: Any) -> dict[str, Any]:
        done = command("insight", "combinations", world / "car0", *options, "--output", world / "out")
        assert done.status == 0, done.err
        return json.loads((world / "out" / "combinations.json").read_text())  # type: ignore[no-any-return]

    plain = found()
    assert plain["theirs"] is None
    image = found("--together", "image", "--min_pixels", "40", "--rare", "0.9")
    assert [image[name] for name in ("together", "min_pixels", "rare")] == ["image", 40, 0.9]
    assert image["groups"] != plain["groups"]
    itself = found("--train_split", "test")
    assert all(row["units"] == 0 for row in itself["groups"] if row["group"] == "never")


def test_a_moved_data_set_is_named_by_option(
    world: Path, command: Callable[..., Any], refused: Callable[..., str]
) -> None:
    (world / "data").rename(world / "moved")
    said = refused("insight", "combinations", world / "car0", "--output", world / "out")
    assert "data set of" in said
    assert "--dataset" in said
    named = ["--dataset", "FolderDataset", "--dataset.root", world / "moved"]
    done = command("insight", "combinations", world / "car0", *named, "--output", world / "out")
    assert done.status == 0, done.err
    found = json.loads((world / "out" / "combinations.json").read_text())
    assert found["dataset"]["init_args"]["root"] == str(world / "moved")


def test_unusable_input_is_named(world: Path, refused: Callable[..., str]) -> None:
    def said(*arguments: Any) -> str:
        return refused("insight", "combinations", *arguments, "--output", world / "out")

    assert "both sides are named 'x'" in said(world / "car0", "--against", world / "plain0", "--names", "x", "x")
    assert "--names gives 2 for 1" in said(world / "car0", "--names", "x", "y")
    assert "given twice on one side" in said(world / "car0", world / "car0" / "test.json")
    assert "rare=2" in said(world / "car0", "--rare", "2")
    assert "min_pixels=0" in said(world / "car0", "--min_pixels", "0")
    assert "'nowhere'" in said(world / "car0", "--train_split", "nowhere")
    assert "does not exist" in said(world / "none.json")
    mask = world / "data" / "masks" / "test" / "image7.png"
    Image.fromarray(np.zeros((4, 24), dtype=np.uint8)).save(mask)
    (world / "data" / "masks" / "train" / "image0.png").write_bytes(b"")  # read later
    assert "'image7'" in said(world / "car0")
    (world / "file").touch()
    assert "cannot write" in refused("insight", "combinations", world / "car0", "--output", world / "file")
    assert not any((world / "out").iterdir())


def test_nothing_unfamiliar_is_said(world: Path, command: Callable[..., Any]) -> None:
    done = command(
        *("insight", "combinations", world / "car0", "--train_split", "test", "--rare", "0", "--output", world / "out")
    )
    assert done.status == 0, done.err
    assert "Matched gap: not defined" in done.out
    assert json.loads((world / "out" / "combinations.json").read_text())["gap"] is None
