"""The sections of a report: numbers against the records they come from, names of any kind."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_records import fake_confusions, fake_record

from classaware.errors import InputError
from classaware.evaluation.comparison import compare
from classaware.evaluation.record import EvaluationRecord
from classaware.insight.centers import CenterAccumulator
from classaware.insight.dependency_numbers import summarize_dependency
from classaware.insight.figures import COMPARED, REFERENCE
from classaware.insight.report import render_report
from classaware.insight.report_blocks import Details, Facts, Figure, Number, Numbers, Section, Table, Text
from classaware.insight.report_images import sample_row
from classaware.insight.run_report import run_report
from classaware.insight.runs import Findings, Run, read_curves

EVIL = "<img src=x onerror=alert(1)>\"'&</style><script>alert(2)</script>"


def make_run(name: str, seed: int, **parts: object) -> Run:
    record = fake_record(seed, **parts)  # type: ignore[arg-type]
    return Run(name, record.checkpoint, record.training, {"test": record}, {"loss": ([0, 1], [2.0, 1.0])})


def make_findings(*runs: Run) -> Findings:
    first, *others = runs
    accumulators = {}
    for number, run in enumerate(runs):
        accumulators[run.name] = CenterAccumulator(4)
        features = torch.randn(3, 8, 5, 6, generator=torch.Generator().manual_seed(number))
        accumulators[run.name].update(features, torch.arange(4)[None, :, None].expand(3, 4, 6))
    compared = [compare([r.records["test"]], [first.records["test"]], (r.name, first.name)) for r in others]
    picture, label = np.zeros((4, 5, 3), dtype=np.uint8), np.zeros((4, 5), dtype=np.int64)
    colors = [(i, i, i) for i in range(4)]
    return Findings(
        runs=runs,
        splits=["test"],
        things=[1, 2],
        comparisons={"test": compared} if others else {},
        dependency=summarize_dependency(accumulators, first.records["test"].class_names),
        samples={"test": [sample_row(f"best: {runs[0].name}", picture, [label] * (1 + len(runs)), colors)]},
        palette=colors,
        explorer="explorer.html",
    )


def sections(findings: Findings) -> dict[str, Section]:
    return {section.title: section for section in run_report(findings, "T").sections}


def tables(section: Section) -> list[Table]:
    folded = [block for entry in section.blocks if isinstance(entry, Details) for block in entry.blocks]
    return [block for block in [*section.blocks, *folded] if isinstance(block, Table)]


def mean_iou(record: EvaluationRecord, classes: list[int]) -> float:
    values = []
    for right, false, missed in record.counts.sum(axis=0)[classes].tolist():
        if right + false + missed:
            values.append(right / (right + false + missed))
    return sum(values) / len(values)


def test_two_runs_are_told_in_numbers_and_their_difference() -> None:
    one, other = make_run("base", 1), make_run("car", 2)
    findings = make_findings(one, other)
    summary = sections(findings)["In short"]
    values = [mean_iou(run.records["test"], [0, 1, 2, 3]) for run in (one, other)]
    things = [mean_iou(run.records["test"], [1, 2]) for run in (one, other)]
    (table,) = tables(summary)
    for row, (a, b) in zip(table.rows, (values, things), strict=False):
        assert list(row[1:4]) == [f"{100 * a:.2f}", f"{100 * b:.2f}", f"{100 * (b - a):+.2f}"]
    low, high = findings.comparisons["test"][0].image_interval or (math.nan, math.nan)
    assert table.rows[0][4] == f"{100 * low:+.2f} to {100 * high:+.2f}"
    what, tiles, *_ = summary.blocks
    assert isinstance(what, Text)
    assert "car minus base" in what.text
    assert isinstance(tiles, Numbers)
    assert "lower is better" in tiles.entries[-1].label
    assert "lower is better" not in tiles.entries[0].label
    first = tiles.entries[0]
    assert isinstance(first, Number)
    assert first.value == table.rows[0][3]
    assert table.rows[0][1] in first.note
    assert table.rows[0][2] in first.note
    cosines = findings.dependency.forms["cosine"].means  # type: ignore[union-attr]
    assert list(table.rows[-1][1:3]) == [f"{cosines[name].value:.3f}" for name in ("base", "car")]


def test_interval_of_the_things_is_that_of_a_bootstrap_over_images() -> None:
    one, other = make_run("base", 1), make_run("car", 2)
    (table,) = tables(sections(make_findings(one, other))["In short"])
    low, high = map(float, table.rows[1][4].split(" to "))
    rng, differences = np.random.default_rng(7), []
    for _ in range(2000):
        draw = rng.integers(12, size=12)
        sums = [run.records["test"].counts[draw].sum(axis=0)[[1, 2]] for run in (one, other)]
        first, second = ((part[:, 0] / part.sum(axis=1)).mean() for part in sums)
        differences.append(100 * (second - first))
    expected = np.quantile(differences, (0.025, 0.975))
    assert (low, high) == pytest.approx(tuple(expected), abs=0.15 * (expected[1] - expected[0]))


def test_one_run_has_no_differences() -> None:
    shown = sections(make_findings(make_run("base", 1)))
    assert not tables(shown["In short"])
    tiles = shown["In short"].blocks[0]
    assert isinstance(tiles, Numbers)
    record = fake_record(1)
    assert tiles.entries[0].value == f"{100 * mean_iou(record, [0, 1, 2, 3]):.2f}"
    low, high = map(float, tiles.entries[0].note.removeprefix("95 %: ").split(" to "))
    assert low < 100 * record.mean_iou < high
    assert "What differs between the runs" not in [table.caption for table in tables(shown["What was run"])]
    (table,) = tables(shown["Classes"])
    scores = fake_record(1).scores
    assert table.header[1:] == ["IoU %", "accuracy %", "boundary IoU %", "pixels"]
    assert [row[1] for row in table.rows] == [f"{100 * value:.2f}" for value in scores.iou]


def test_of_several_runs_each_is_compared_with_the_first() -> None:
    runs = [make_run(name, seed) for seed, name in enumerate(("a", "b", "c"), start=1)]
    shown = sections(make_findings(*runs))
    every, against = tables(shown["In short"])
    assert list(every.header) == ["", "a", "b", "c"]
    means = [mean_iou(run.records["test"], [0, 1, 2, 3]) for run in runs]
    assert [row[:3] for row in against.rows] == [
        [name, f"{100 * mean:.2f}", f"{100 * (mean - means[0]):+.2f}"]
        for name, mean in zip("bc", means[1:], strict=True)
    ]
    (table,) = tables(shown["Classes"])
    assert list(table.header) == ["class", "a", "b", "c"]


def test_what_differs_comes_first_and_the_rest_is_folded() -> None:
    def training(car: str) -> dict[str, object]:
        configuration = {"network": {"car": car}, "data": {"batch_size": 8}}
        return {"seed": 0, "configuration": configuration, "versions": {}, "commit": "b" * 40}

    runs = [make_run(name, 1, training=training(car)) for name, car in (("base", "off"), ("car", "on"))]
    section = sections(make_findings(*runs))["What was run"]
    first, checkpoints, whole = tables(section)
    assert first is section.blocks[0]
    assert [list(row) for row in first.rows] == [["network.car", "off", "on"]]
    assert [row[-1] for row in checkpoints.rows] == ["b" * 12] * 2
    assert [list(row) for row in whole.rows] == [["network.car", "off", "on"], ["data.batch_size", "8", "8"]]
    assert isinstance(section.blocks[-1], Details)
    (facts,) = [block for block in section.blocks if isinstance(block, Facts)]
    assert "torch 2.15.0" in facts.entries["with"]


def test_names_are_shown_and_do_nothing() -> None:
    names = (EVIL, "road", "car", f"b{EVIL}")
    each = [fake_confusions(seed) for seed in (1, 2)]
    runs = [
        make_run(f"{name}{EVIL}", 1, confusions=confusions, class_names=names, names=[f"{i}{EVIL}" for i in range(12)])
        for name, confusions in zip("ab", each, strict=True)
    ]
    runs = [Run(r.name, r.provenance, r.training, r.records, {EVIL: ([0], [1.0])}) for r in runs]
    text = render_report(run_report(make_findings(*runs), f"T{EVIL}", EVIL))
    style = re.search(r"<style>\n(.*?)</style>", text, re.DOTALL)
    assert style
    rest = text.replace(style.group(), "")
    assert "<script" not in rest
    assert "<style" not in rest
    assert not re.search(r"<img (?!src=\"data:)", rest)
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r'"[^"]*"', '""', rest))
    assert "&lt;img src=x onerror=alert(1)&gt;" in rest


def test_classes_that_are_nowhere_are_a_dash() -> None:
    runs = [make_run(name, 0, confusions=fake_confusions(seed, absent=[3])) for seed, name in enumerate("ab")]
    (table,) = tables(sections(make_findings(*runs))["Classes"])
    assert list(table.rows[3][1:]) == ["–"] * 4
    assert "nan" not in render_report(run_report(make_findings(*runs), "T"))


def test_everything_for_json_has_no_nan() -> None:
    runs = [make_run(name, 0, confusions=fake_confusions(seed, absent=[1, 2])) for seed, name in enumerate("ab")]
    found = make_findings(*runs).to_dict(Path())
    assert (found["format"], found["version"]) == ("classaware-report", 1)
    assert found["runs"][0]["splits"]["test"]["mean_iou_of_things"] is None
    assert found["runs"][1]["splits"]["test"]["mean_iou"] == runs[1].records["test"].mean_iou

    def values(part: object) -> list[object]:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else None
        return [part] if inner is None else [value for entry in inner for value in values(entry)]

    assert not [value for value in values(found) if isinstance(value, float) and not math.isfinite(value)]


def test_paths_start_at_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    record = replace(fake_record(1), path=Path("../run/mine.json"))
    run = Run("a", record.checkpoint, record.training, {"test": record})
    found = make_findings(run).to_dict(tmp_path / "reports" / "one")
    assert found["runs"][0]["splits"]["test"]["evaluation"] == "../../run/mine.json"


def test_dependency_is_said_in_percent_and_of_which_images() -> None:
    findings = make_findings(make_run("base", 1), make_run("car", 2))
    section = sections(findings)["Class dependency"]
    assert isinstance(section.blocks[0], Text)
    assert section.blocks[0].text.endswith("all images: 12 of test.")
    assert findings.dependency is not None
    means = next(table for table in tables(section) if table.caption.startswith("Mean dependency"))
    for form, (row, other) in zip(
        ("paper", "unit", "cosine"), zip(means.rows[::2], means.rows[1::2], strict=True), strict=True
    ):
        part = findings.dependency.forms[form]
        scale, digits = (1, 3) if form == "cosine" else (100, 2)
        assert row[0].endswith(", %") == (form != "cosine")
        assert [row[2], other[2]] == [f"{scale * part.means[name].value:.{digits}f}" for name in ("base", "car")]
        assert other[4] == f"{scale * part.differences['car'].value:+.{digits}f}"


def test_a_folder_goes_by_its_name_everywhere() -> None:
    data = {"name": "FolderDataset", "dataset": {"init_args": {"root": "data/msrc21"}}, "split": "test"}
    record = fake_record(1)
    record = replace(record, data=record.data | data)
    run = Run("a", record.checkpoint, record.training, {"test": record})
    text = render_report(run_report(make_findings(run), "T"))
    assert "FolderDataset" not in text
    assert "msrc21: 4 classes" in text


def test_runs_without_a_log_leave_the_colors_to_the_others() -> None:
    runs = [make_run(name, seed) for seed, name in enumerate("ab", start=1)]
    runs[0] = replace(runs[0], curves={})
    (figure,) = sections(make_findings(*runs))["Training"].blocks
    assert isinstance(figure, Figure)
    assert COMPARED.lower() in figure.data.decode()
    assert REFERENCE.lower() not in figure.data.decode()


def test_curves_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert read_curves(path) == {}
    path.write_text("epoch,loss,step,train/lr,val/miou\n0,0.5,19,0.1,\n0,,19,,0.25\n1,nan,39,0.1,\n")
    curves = read_curves(path)
    assert curves.keys() == {"loss", "val/miou"}
    assert curves["val/miou"] == ([19], [0.25])
    assert curves["loss"][0] == [19, 39]
    assert math.isnan(curves["loss"][1][1])


@pytest.mark.parametrize("text", ["loss\n1\n", "loss,step\n1,x\n", "loss,step\nx,1\n", "loss,step\n1,2,3\n"])
def test_a_damaged_log_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_curves(path)
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        read_curves(tmp_path)
