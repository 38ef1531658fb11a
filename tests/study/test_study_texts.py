from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from classaware.commands.studies.writing import summary_table
from classaware.study.markdown import study_markdown
from classaware.study.plan import Cell, Study
from classaware.study.results import collect
from classaware.study.sentences import about_tests, group_notes, progress
from classaware.study.tables import class_table, mean_table, other_table, undone_table

Make = Callable[..., tuple[Study, Path]]


def cell(variant: str, seed: int, network: str = "default") -> Cell:
    return Cell("scenes", network, variant, seed)


def test_means_and_differences_in_percent(make_study: Make) -> None:
    group = collect(*make_study()).groups[0]
    head, (plain, car) = mean_table(group)
    found = group.variants[1].contrasts["mIoU"]
    test = found.test
    assert found.difference is not None
    assert found.difference_sd is not None
    assert found.our_mean is not None
    assert test.interval is not None
    assert plain[:2] == ["plain", "0, 1, 2"]
    assert plain[4:] == ["–"] * 5
    values = dict(zip(head, car, strict=True))
    assert values["mIoU %"] == f"{100 * found.our_mean:.2f}"
    assert values["difference"] == f"{100 * found.difference:+.2f}"
    assert values["sd of pairs"] == f"{100 * found.difference_sd:.2f}"
    assert values["95 % interval"] == f"{100 * test.interval[0]:+.2f} to {100 * test.interval[1]:+.2f}"
    assert values["p"] == f"{test.p:.4f}"
    assert values["Holm"] == f"{group.variants[1].holm:.4f}"


def test_other_quantities_beside_the_baseline(make_study: Make) -> None:
    table = other_table(collect(*make_study()).groups[1])
    assert table is not None
    head, (plain, car) = table
    assert head == ["variant", "familiar", "rare", "never", "matched gap", "dependency (cosine)"]
    assert plain[0] == "plain (its mean)"
    assert plain[4:] == ["11.00", "0.400"]
    # Both variants have the same gap and dependency: no difference, and no test of it.
    assert car[4:] == ["+0.00", "+0.000"]
    assert car[1].endswith(")")


def test_no_other_quantity_no_table(make_study: Make, numbers: Any) -> None:
    def bare(cell: Cell, split: str, mean_iou: float) -> Any:
        return type(numbers(cell, split, mean_iou))(mean_iou, None, {}, {}, None, {})

    results = collect(*make_study(numbers=bare))
    assert other_table(results.groups[0]) is None
    assert "Combinations" not in study_markdown(results)


def test_classes_and_their_mean(make_study: Make) -> None:
    plain, car = collect(*make_study()).groups[0].variants
    assert class_table(plain) is None
    table = class_table(car)
    assert table is not None
    head, rows = table
    assert head[1] == "plain %"
    assert [row[0] for row in rows] == ["sky", "road", "car", "person", "mean"]
    difference = car.contrasts["mIoU"].difference
    assert difference is not None
    assert rows[-1][2] == f"{100 * difference:+.2f}"


def test_what_lacks_is_said(make_study: Make) -> None:
    lost = [cell("car", 1), cell("plain", 2)]
    study, folder = make_study(lost=lost)
    results = collect(study, folder, {lost[1]: "out of memory"})
    assert progress(results) == "4 of 6 trainings are done (1 failed, 1 not done yet)."
    notes = group_notes(results.groups[0], "plain")
    assert any(note.startswith("plain lacks seed 2, which car has") for note in notes)
    assert any(note.startswith("car lacks seed 1, which plain has") for note in notes)
    assert "car: the t-test is not defined for one run a side." in notes
    assert about_tests(results).startswith("No difference of mIoU is tested")
    rows = undone_table(results)[1]
    assert rows[0] == ["scenes/default/plain/seed-2", "failed", "out of memory"]
    assert rows[1][:2] == ["scenes/default/car/seed-1", "missing"]
    assert "out of memory" in study_markdown(results)


def test_other_conditions_are_said(make_study: Make, write: Any, numbers: Any) -> None:
    study, folder = make_study()
    assert group_notes(collect(study, folder).groups[0], "plain") == []
    write(study, folder, cell("car", 1), numbers, device="cuda", versions={"torch": "2.15.1"})
    notes = group_notes(collect(study, folder).groups[0], "plain")
    assert len(notes) == 1
    assert notes[0].startswith("Trainings of car and plain were not all alike in")
    assert "device" in notes[0]
    assert "versions.torch" in notes[0]


def test_how_many_tests_there_are(make_study: Make) -> None:
    results = collect(*make_study(variants={"plain": [], "car": ["car"], "other": ["paper"]}))
    assert about_tests(results).startswith("4 differences of mIoU are tested. If none of them were real, about 0.2 of")
    assert progress(results) == "9 of 9 trainings are done."
    single = collect(*make_study(datasets={"scenes": {"splits": ["seen"]}}, folder="single"))
    assert single.tested == 1
    assert about_tests(single).startswith("One difference")


def test_markdown_is_whole_and_literal(make_study: Make) -> None:
    lost = cell("car", 0)
    study, folder = make_study(lost=[lost])
    text = study_markdown(collect(study, folder, {lost: "<b>bad</b> | `rm`\n# heading"}), "study.png")
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<b>" not in html
    assert html.count("<h1>") == 1
    assert '<img src="study.png"' in html
    for part in ("Mean IoU", "Combinations of classes", "Classes", "Not done", "What was trained", "With what"):
        assert f"<h2>{part}</h2>" in html
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert any(row.startswith("| sky |") for row in rows)
    assert any("car" in row and "variant" in row for row in rows)


def test_without_a_baseline_the_text_says_so(make_study: Make) -> None:
    results = collect(*make_study(lost=[cell("plain", seed) for seed in range(3)]))
    assert "No differences: the baseline (plain) is not done." in group_notes(results.groups[0], "plain")
    text = study_markdown(results)
    assert "study.png" not in text
    assert "## Classes" not in text
    table = other_table(results.groups[0])
    assert table is not None
    assert [row[0] for row in table[1]] == ["car (its mean)"]


@pytest.mark.parametrize("networks", [["default"], ["attention", "ocr"]])
def test_terminal_table_names_what_there_are_several_of(make_study: Make, networks: list[str]) -> None:
    table = summary_table(collect(*make_study(networks={name: [] for name in networks})))
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert len(lines) == 1 + 2 * 2 * len(networks)
    assert ("network" in lines[0].split()) == (len(networks) > 1)
    assert "split" in lines[0].split()
    assert "set" not in lines[0].split()
    assert sum("car" in line.split() for line in lines) == 2 * len(networks)


def test_terminal_table_of_nothing(make_study: Make) -> None:
    study, folder = make_study(lost=[cell(name, seed) for name in ("plain", "car") for seed in range(3)])
    assert summary_table(collect(study, folder)).row_count == 0
