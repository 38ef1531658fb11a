import io
import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from fake_records import fake_confusions, fake_record
from markdown_it import MarkdownIt
from rich.console import Console

from classaware.errors import InputError
from classaware.evaluation.comparison import Comparison, compare
from classaware.evaluation.comparison_text import as_markdown, sentences, show
from classaware.evaluation.record import EvaluationRecord

COUNT = 3


def group(first: int, seeds: range | list[int], quality: float = 0.7, **options: Any) -> list[EvaluationRecord]:
    return [
        fake_record(
            confusions=fake_confusions(first + seed, quality=quality, **options),
            training={"seed": seed, "steps": 700},
            checkpoint={"sha256": f"{first + seed}"},
        )
        for seed in seeds
    ]


def table_rows(markdown: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_means_differences_and_pairs() -> None:
    ours, theirs = group(100, range(COUNT), 0.75), group(200, range(COUNT))
    result = compare(ours, theirs, ("CAR", "plain"))
    left, right = [run.mean_iou for run in ours], [run.mean_iou for run in theirs]
    assert result.ours.mean_ious == tuple(left)
    assert (result.ours.mean, result.theirs.mean) == pytest.approx((mean(left), mean(right)), abs=1e-15)
    assert (result.ours.sd, result.theirs.sd) == pytest.approx((stdev(left), stdev(right)), rel=1e-9)
    assert result.difference == pytest.approx(mean(left) - mean(right), abs=1e-15)
    pairs = [a - b for a, b in zip(left, right, strict=True)]
    assert result.difference_sd == pytest.approx(stdev(pairs), rel=1e-9)
    assert result.paired_by == "seed"
    assert result.test.kind == "paired"
    for index, row in enumerate(result.classes):
        values = [a.iou[index] - b.iou[index] for a, b in zip(ours, theirs, strict=True)]
        assert row.difference == pytest.approx(mean(values), abs=1e-12)
        assert row.sd == pytest.approx(stdev(values), rel=1e-6)
        assert row.interval is not None
        assert row.interval[0] < row.interval[1]
    assert result.image_interval is not None
    assert result.run_and_image_interval is not None
    assert result.image_interval[0] < result.difference < result.image_interval[1]


def test_pairs_follow_the_seeds_not_the_order() -> None:
    ours, theirs = group(100, range(COUNT)), group(200, range(COUNT))
    one, other = compare(ours, theirs), compare(ours, [theirs[2], theirs[0], theirs[1]])
    assert one == other
    assert other.theirs.seeds == (0, 1, 2)


@pytest.mark.parametrize("seeds", [[3, 4, 5], [0, 1, 3], [0, 0, 1], [0, 1]])
def test_other_seeds_are_not_paired(seeds: list[int]) -> None:
    result = compare(group(100, range(COUNT)), group(200, seeds))
    assert result.paired_by is None
    assert result.test.kind == "Welch"
    assert result.test.p is not None
    assert result.difference_sd is None
    assert all(row.sd is None for row in result.classes)
    assert result.run_and_image_interval is not None
    assert sentences(result)[0].endswith("The runs are not paired: their seeds are not the same on both sides.")
    swapped = compare(group(200, seeds), group(100, range(COUNT)))
    assert swapped.paired_by is None
    assert swapped.test.p == pytest.approx(result.test.p)


def test_unknown_seeds_and_one_run_on_a_side_are_not_paired() -> None:
    unknown = [replace(run, training={}) for run in group(200, range(COUNT))]
    assert compare(group(100, range(COUNT)), unknown).paired_by is None
    assert compare(unknown, unknown).paired_by is None
    alone = compare(group(100, range(3)), group(200, range(1)))
    assert alone.run_and_image_interval is None
    assert alone.test.undefined is not None


def test_a_side_against_itself() -> None:
    runs = group(100, range(COUNT))
    result = compare(runs, runs)
    assert result.difference == 0
    assert result.image_interval == (0, 0)
    assert result.run_and_image_interval == (0, 0)
    assert all((row.difference, row.interval) == (0, (0, 0)) for row in result.classes)
    assert result.test.undefined == "not defined: the runs do not vary"
    assert "nan" not in as_markdown(result)
    assert "+0.00 to +0.00" in as_markdown(result)


def test_one_run_a_side() -> None:
    result = compare(group(100, [0]), group(200, [0]))
    assert (result.ours.sd, result.difference_sd, result.run_and_image_interval) == (None, None, None)
    assert result.image_interval is not None
    text = as_markdown(result)
    assert "not defined for one run a side" in text
    assert "not defined for one run on a side" in text
    assert "nan" not in text + json.dumps(result.to_dict())


def test_one_image() -> None:
    runs = [[fake_record(confusions=fake_confusions(seed, images=1))] for seed in (0, 1)]
    result = compare(*runs)
    assert result.image_interval is None
    assert all(row.interval is None for row in result.classes)
    assert "not defined for one image" in as_markdown(result)


def test_a_class_that_is_absent_everywhere_is_left_out() -> None:
    ours, theirs = group(100, range(2), absent=[2]), group(200, range(2), absent=[2])
    result = compare(ours, theirs)
    gone = result.classes[2]
    assert (gone.ours, gone.theirs, gone.difference, gone.sd, gone.interval) == (None,) * 5
    kept = [row.ours for row in result.classes if row.ours is not None]
    assert len(kept) == 3
    assert result.ours.mean == pytest.approx(mean(kept), abs=1e-12)
    assert table_rows(as_markdown(result))["car"] == ["–"] * 5
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_class_that_only_one_side_predicts() -> None:
    plain = np.array([[[9, 1, 0], [0, 5, 0], [0, 0, 0]]] * 4)
    false = np.array([[[8, 1, 1], [0, 5, 0], [0, 0, 0]]] * 4)
    result = compare([fake_record(confusions=plain)], [fake_record(confusions=false)])
    row = result.classes[2]
    assert (row.ours, row.theirs, row.difference) == (None, 0.0, None)
    assert result.theirs.mean == pytest.approx((8 / 10 + 5 / 6 + 0) / 3, abs=1e-15)


def test_images_are_matched_by_name() -> None:
    ours, theirs = group(100, range(2)), group(200, range(2))
    order = np.random.default_rng(0).permutation(12)
    shuffled = [
        replace(run, names=tuple(run.names[i] for i in order), counts=run.counts[order], confusion=run.confusion)
        for run in theirs
    ]
    assert compare(ours, theirs) == compare(ours, shuffled)


def other_labels(run: EvaluationRecord) -> EvaluationRecord:
    """Two images with the labels of each other; the sum stays."""
    counts = run.counts.copy()
    counts[[0, 1]] = counts[[1, 0]]
    return replace(run, counts=counts)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: replace(run, class_names=("a", *run.class_names[1:])), "other classes: number 0 is 'a' and 'sky'"),
        (lambda run: fake_record(1, fake_confusions(1, classes=5)), "other classes: 5 and 4"),
        (lambda run: replace(run, data=run.data | {"split": "val"}), "splits 'val' and 'test'"),
        (lambda run: replace(run, names=("new", *run.names[1:])), r"other images \(2, such as 'image0'"),
        (lambda run: fake_record(1, fake_confusions(1, images=11)), "other images"),
        (other_labels, r"other labels \(2 images, such as 'image0'"),
    ],
)
def test_what_may_not_be_compared(change: Any, words: str) -> None:
    good, bad = group(100, range(2)), group(200, range(2))
    bad[1] = replace(change(bad[1]), path=None)
    with pytest.raises(InputError, match=words):
        compare(good, bad)
    with pytest.raises(InputError, match=words):
        compare([*good, bad[1]], good)


def test_nothing_to_compare() -> None:
    with pytest.raises(InputError, match="at least one run a side"):
        compare([], group(1, [0]))
    empty = fake_record(confusions=np.zeros((2, 3, 3), dtype=np.int64))
    with pytest.raises(InputError, match="counts no pixel"):
        compare([empty], [empty])


def test_settings_that_differ_are_listed_and_inference_is_loud() -> None:
    ours, theirs = group(100, range(2)), group(200, range(2))
    assert compare(ours, theirs).unequal == ()
    assert compare(ours, theirs).warnings == ()
    assert "Nothing of what the evaluations record." in as_markdown(compare(ours, theirs))
    theirs = [replace(run, training=run.training | {"steps": 800, "crop_size": [4, 4]}) for run in theirs]
    theirs[1] = replace(theirs[1], data=theirs[1].data | {"name": "Other"}, commit=None)
    quiet = compare(ours, theirs)
    assert [row.setting for row in quiet.unequal] == ["commit", "data.name", "training.crop_size", "training.steps"]
    assert quiet.unequal[3].theirs == (800, 800)
    nested = [
        replace(run, training=run.training | {"versions": {"torch": "2.14"}, "network": {"head": "x"}}) for run in ours
    ]
    assert [row.setting for row in compare(nested, ours).unequal] == ["network.head", "training.versions.torch"]
    assert not any(row.method for row in compare(nested, ours).unequal)
    assert "do not all record their whole configuration" in as_markdown(quiet)
    assert "do not all record their whole configuration" in printed(quiet)
    assert quiet.warnings == ()
    rows = table_rows(as_markdown(quiet))
    assert rows["training.steps"] == ["700", "800"]
    assert rows["training.crop\\_size"] == ["not recorded", "\\[4, 4\\]"]
    assert rows["data.name"] == ["Fake", "Fake, Other"]
    ours[1] = replace(ours[1], inference=ours[1].inference | {"flip": True})  # within one side
    loud = compare(ours, theirs)
    assert [row.setting for row in loud.unequal if row.loud] == ["inference.flip"]
    assert len(loud.warnings) == 1
    assert "inference.flip" in loud.warnings[0]
    assert "**Warning.**" in as_markdown(loud)
    assert "WARNING" in printed(loud)


def configured(runs: list[EvaluationRecord], network: dict[str, Any], **parts: Any) -> list[EvaluationRecord]:
    """The runs with a whole configuration: ``network``, what is given, and what is usual of the rest."""
    usual: dict[str, Any] = {
        "data": {"dataset": {"init_args": {"root": "/one"}}, "num_workers": 2, "flip": True, "crop_size": [4, 4]},
        "network": {"head": "fcn"} | network,
        "regularizer": None,
        "rival": None,
        "training": {"lr": 0.01},
        "trainer": {"max_steps": 700},
        "inference": {"flip": False},
        "allow_shared_images": False,
    }
    return [replace(run, training=run.training | {"processes": 1, "configuration": usual | parts}) for run in runs]


def section(markdown: str, title: str) -> str:
    return markdown.split(f"## {title}\n")[1].split("\n## ")[0]


def test_method_and_the_rest_are_told_apart() -> None:
    other_data = {"dataset": {"init_args": {"root": "/two"}}, "num_workers": 8, "flip": False, "crop_size": [4, 5]}
    ours = configured(group(100, range(2)), {"car": True}, regularizer={"preset": "paper"}, trainer={"max_steps": 900})
    theirs = configured(group(200, range(2)), {"car": False}, data=other_data, inference={"flip": True})
    theirs = [replace(run, training=run.training | {"processes": 2, "steps": 1, "commit": "c"}) for run in theirs]
    result = compare(ours, theirs)
    assert result.configured
    assert [row.setting for row in result.unequal if row.method] == ["network.car", "regularizer.preset"]
    assert [row.setting for row in result.unequal if not row.method] == [
        "data.crop_size",
        "data.flip",
        "fit.commit",
        "processes",
        "trainer.max_steps",
    ]
    assert result.warnings == ()  # the inference of the training's validation is not the evaluation's
    compared, rest = (section(as_markdown(result), title) for title in ("What is compared", "What else is not equal"))
    assert table_rows(compared) == {
        "setting": ["first", "second"],
        "---": ["---:", "---:"],
        "network.car": ["True", "False"],
        "regularizer.preset": ["paper", "none"],
    }
    assert table_rows(rest)["data.crop\\_size"] == ["\\[4, 4\\]", "\\[4, 5\\]"]
    assert "network" not in rest
    for text in (as_markdown(result), printed(result)):
        assert "What is compared" in text
        assert "What else is not equal" in text
        assert "whole configuration" not in text


def test_equal_configurations_are_said_to_be_equal() -> None:
    ours, theirs = configured(group(100, range(2)), {}), configured(group(200, range(2)), {})
    result = compare(ours, theirs)
    assert result.unequal == ()
    for text in (as_markdown(result), printed(result, 300)):
        assert "No setting of network, regularizer, rival or training differs." in text
        assert "Nothing else of what is recorded (data, steps, crop, weights, versions, ...)" in text
    # One run without: the summary and the network are compared, and it is said.
    bare = group(100, [1])[0]
    mixed = compare([ours[0], replace(bare, training=bare.training | {"network": {"head": "fcn"}})], theirs)
    assert not mixed.configured
    assert [row.setting for row in mixed.unequal] == ["training.processes"]
    assert "do not all record" in as_markdown(mixed)


def test_data_protocol_dates_and_files_are_named(tmp_path: Path) -> None:
    ours, theirs = group(100, range(2)), group(200, range(2))
    ours = [replace(run, path=tmp_path / f"car{i}.json") for i, run in enumerate(ours)]
    theirs[0] = replace(theirs[0], date="2026-11-20T23:00:00+00:00", inference=ours[0].inference | {"flip": True})
    result = compare(ours, theirs)
    assert result.descriptions == (
        "Fake: 4 classes, 12 images of 'test', single scale, no flip, whole images",
        "Fake: 4 classes, 12 images of 'test', single scale, flip, whole images",
    )
    assert result.evaluated == ("2026-11-20", "2026-11-22")
    what = section(as_markdown(result), "What was evaluated")
    for words in (*result.descriptions, "Evaluated from 2026-11-20 to 2026-11-22.", "car0.json", "car1.json"):
        assert words in what.replace("\\", "")
    assert "Evaluated from 2026-11-20 to 2026-11-22." in printed(result)
    assert "Evaluated on 2026-11-22." in as_markdown(compare(ours, ours))
    assert compare(*[[replace(run, date="") for run in side] for side in (ours, theirs)]).evaluated is None


def test_a_protocol_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    bad = replace(fake_record(), path=tmp_path / "bad.json", inference={"scales": ["x"]})
    with pytest.raises(InputError, match=r"bad\.json is damaged"):
        compare([bad], [bad])


@pytest.mark.parametrize(("count", "words"), [(2, "1 degree of freedom"), (3, "2 degrees of freedom")])
def test_degrees_of_freedom(count: int, words: str) -> None:
    assert f", {words}," in sentences(compare(group(100, range(count)), group(200, range(count))))[1]


def test_one_checkpoint_twice_on_a_side_is_told() -> None:
    ours = group(100, range(2))
    ours[1] = replace(ours[1], checkpoint=ours[0].checkpoint)
    assert any("one checkpoint" in warning for warning in compare(ours, group(200, range(2))).warnings)


def printed(result: Comparison, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    show(result, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_untrusted_names() -> None:
    evil = "a|b <img src=x> [link](http://x) $x$ `c` **d**\n# e \x1b[31m"
    names = (evil, "[red]road", "car", "person")
    runs = [[replace(run, class_names=names) for run in group(first, range(2))] for first in (100, 200)]
    result = compare(runs[0], runs[1], ("[bold]A", "B | `C`"))
    text = as_markdown(result)
    assert "\x1b" not in text
    tokens = MarkdownIt("commonmark").enable(["table"]).parse(text)
    inline = [token for token in tokens if token.type == "inline"]
    kinds = {child.type for token in inline for child in token.children or ()}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}  # no link, no code, no markup
    cells = ["".join(child.content for child in token.children or ()) for token in inline if token.level == 4]
    literal = " ".join(evil.replace("\x1b", " ").split())
    assert cells.count(literal) == 1
    assert {"[red]road", "[bold]A", "B | `C`"} <= set(cells)
    assert len(cells) == 3 * 6 + 6 * 6  # two sides and a head; four classes, the mean and a head
    shown = printed(result)
    assert "[red]road" in shown
    assert "[bold]A" in shown
    assert "\x1b[31m" not in shown


def test_same_input_same_output() -> None:
    ours, theirs = group(100, range(2)), group(200, range(2))
    one, other = compare(ours, theirs), compare(ours, theirs)
    assert json.dumps(one.to_dict(), allow_nan=False) == json.dumps(other.to_dict(), allow_nan=False)
    assert as_markdown(one) == as_markdown(other)


def test_seeds_that_vary_widen_the_interval() -> None:
    """Runs of very different quality: the interval over runs and images is wider than that over images alone."""
    ours = [group(100, [seed], quality)[0] for seed, quality in enumerate((0.4, 0.6, 0.8))]
    theirs = [group(200, [seed], quality)[0] for seed, quality in enumerate((0.7, 0.5, 0.6))]
    result = compare(ours, theirs)
    assert result.image_interval is not None
    assert result.run_and_image_interval is not None
    widths = [high - low for low, high in (result.image_interval, result.run_and_image_interval)]
    assert widths[1] > 1.5 * widths[0]
    assert not math.isnan(result.difference)
