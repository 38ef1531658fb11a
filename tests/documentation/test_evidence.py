"""The studies under docs/results/evidence follow from their cells, and what pages say of them follows from them."""

import json
import re
import runpy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]
from pages import ROOT
from PIL import Image

from classaware.evaluation.formatting import points, signed
from classaware.study.reading import read_study
from classaware.study.results import collect

LITE = "lite0-self-attention"
FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "results" / "evidence").glob("*/cells"))
# Names in the pages' tables -> names in the study.
DATA = {"CamVid": "camvid", "MSRC-21": "msrc21", "VOC subset": "voc21", "biased scenes": "scenes"}
NETWORKS = {"Lite0 + Self-Attention": LITE, "small ResNet + Self-Attention": "small-resnet"}


def test_there_are_studies() -> None:
    assert {"evidence"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_results_follow_from_the_cells(folder: Path) -> None:
    study = read_study(ROOT / "studies" / f"{folder.name}.yaml")
    written = json.loads((folder / "study.json").read_text())
    assert json.loads(json.dumps(collect(study, folder).to_dict())) == written


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What studies/evidence_page.py has."""
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    return runpy.run_path(str(ROOT / "studies" / "evidence_page.py"))


def test_pages_hold_the_tables_that_the_cells_give(writer: dict[str, Any]) -> None:
    blocks = writer["blocks"]()
    assert set(blocks) == {"README.md", "docs/results/evidence.md"}
    for page, tables in blocks.items():
        text = (ROOT / page).read_text()
        assert writer["rewritten"](text, tables, page) == text, "make evidence"
    for name in ("ideas", "unsettled"):
        assert len(blocks["docs/results/evidence.md"][name]) > 10


def test_a_page_without_a_place_for_a_table_is_named(writer: dict[str, Any]) -> None:
    text = "a <!-- x -->\nold\n<!-- end of x --> b"
    assert writer["rewritten"](text, {"x": ["new"]}, "p.md") == "a <!-- x -->\n\nnew\n\n<!-- end of x --> b"
    with pytest.raises(ValueError, match=r"p\.md must have <!-- y --> and <!-- end of y --> once each"):
        writer["rewritten"](text, {"y": []}, "p.md")


def test_figures_are_there_for_what_was_trained(writer: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "results" / "evidence.md").read_text()
    for name, picture in writer["figures"]().items():
        path = ROOT / "docs" / "images" / f"evidence-{name}.png"
        assert path.exists() is (picture is not None) is (f"(../images/{path.name})" in page)
        if picture is not None:
            drawn, kept = (np.asarray(Image.open(file).convert("L"), dtype=float) for file in (BytesIO(picture), path))
            # Letters may be drawn a little differently; a dot that moved is another picture.
            assert drawn.shape == kept.shape, "make evidence"
            assert np.abs(drawn - kept).mean() < 0.2, "make evidence"


@pytest.mark.parametrize(
    ("block", "study", "reference"),
    [("background", "background", "baseline"), ("table 1", "table1", "R2-A"), ("knobs", "knobs", "default")],
)
def test_differences_are_those_of_the_pairs(block: str, study: str, reference: str) -> None:
    """By numpy and scipy, from the cells' own files."""
    lines = block_lines(block)
    if lines == ["Not trained yet."]:
        pytest.skip("not trained yet")
    head, _, base, *others = cells_of(lines)
    places = [COLUMNS[name] for name in head[1:]]
    assert base[0] == f"{reference} (its mean)"
    assert others
    tests: list[float] = []
    for name, *cells in [[reference, *base[1:]], *others]:
        for place, cell in zip(places, cells, strict=True):
            ours, theirs = (values(study, place, variant) for variant in (name, reference))
            if not theirs or not set(theirs) <= set(ours):
                assert cell == "\N{EN DASH}"
            elif name == reference:
                assert cell == f"{100 * np.mean(list(theirs.values())):.2f}, n {len(theirs)}"
            else:
                pairs = [100 * (ours[seed] - theirs[seed]) for seed in theirs]
                assert cell == shown(pairs, tests)
    assert [line for line in lines if line.startswith("p ")] == [said_of(tests)]


def test_weights_are_those_of_the_pairs() -> None:
    head, _, *found = cells_of(block_lines("weights"))
    assert head == ["weight", "0", "1", "3"]
    names = {"intra_c2p": "intra", "inter_c2c": "c2c", "inter_c2p": "c2p"}
    assert [term for term, *_ in found] == [name.replace("_", "\\_") for name in names]
    unseen = ("scenes", "small-resnet", "unseen")
    for short, (_, *cells) in zip(names.values(), found, strict=True):
        for variant, cell in zip((f"{short}-0", "default", f"{short}-triple"), cells, strict=True):
            assert cell == shown(three_pairs("knobs", unseen, variant, "baseline"))


def test_sizes_are_those_of_the_pairs() -> None:
    """By numpy and scipy: the default against the baseline of the same batch size or width."""
    lines = block_lines("sizes")
    head, _, *found = cells_of(lines)
    assert head[1:] == ["unseen, baseline", "unseen, default", "seen, baseline", "seen, default"]
    assert len(found) >= 2
    tests: list[float] = []
    for name, *cells in found:
        network = {"batch size 8": "small-resnet", "channels C 128": "small-resnet"}.get(
            name, name.replace("batch size ", "batch-").replace("channels C ", "channels-")
        )
        for split, base, change in (("unseen", *cells[:2]), ("seen", *cells[2:])):
            ours, theirs = (values("knobs", ("scenes", network, split), side) for side in ("default", "baseline"))
            assert base == f"{100 * np.mean(list(theirs.values())):.2f}, n {len(theirs)}"
            pairs = [100 * (ours[seed] - theirs[seed]) for seed in theirs]
            assert change == shown(pairs, tests)
    assert [line for line in lines if line.startswith("p ")] == [said_of(tests)]


def test_pairs_that_pages_count() -> None:
    """On the photographs, over all seeds: `released` against the baseline, and `masked` against `released`."""

    def above(side: str, other: str, split: str) -> int:
        places = [(name, LITE, split) for name in ("camvid", "msrc21", "voc21")]
        return sum(pair > 0 for at in places for pair in three_pairs("evidence", at, side, other))

    pages = {page: " ".join((ROOT / page).read_text().split()) for page in ("README.md", "docs/results/evidence.md")}
    gained = tuple(str(above("released", "baseline", split)) for split in ("test", "val"))
    for page, said in pages.items():
        assert re.findall(r"in (\d) of 9 pairs[^,]*, on their val splits in (\d) of 9", said) == [gained], page
    below = sum(above("released", "masked", split) for split in ("val", "test"))
    assert f"`masked` is below it in {below} of these 18 pairs" in pages["docs/results/evidence.md"]


def test_what_pages_say_of_long_trainings() -> None:
    """Of VOC at 1,168 steps: the gains and the pairs above the baseline, of `released` and `masked`, val and test."""
    gains, above = [], []
    for side in ("released", "masked"):
        splits = [three_pairs("background", ("voc21-1168", LITE, split), side, "baseline") for split in ("val", "test")]
        gains += [f"{np.mean(pairs):.1f}" for pairs in splits]
        above.append(sum(pair > 0 for pairs in splits for pair in pairs))
    assert above[0] == above[1]
    pattern = r"`released` gains ([\d.]+)(?: points on val)? and ([\d.]+)(?: on test)?, `masked` ([\d.]+) and ([\d.]+)"
    for page in ("README.md", "docs/results/evidence.md"):
        said = " ".join((ROOT / page).read_text().split())
        assert re.findall(pattern + r", each in (\d) of 6 pairs", said) == [(*gains, str(above[0]))], page


def test_rare_classes_of_voc(writer: dict[str, Any]) -> None:
    """From the confusion matrices."""
    lines = cells_of(writer["by_images"]())
    cells = ROOT / "docs" / "results" / "evidence" / "background" / "cells" / "voc21" / LITE
    few = [name in writer["FEW"] for name in names(cells / "baseline" / "seed-0")]
    assert len(lines) > 4
    for variant, *printed in lines[2:]:
        seeds = sorted(path.name for path in (cells / variant).glob("seed-*"))
        pairs = [ious(cells / variant / seed) - ious(cells / "baseline" / seed) for seed in seeds]
        others = [index for index in range(1, 21) if not few[index]]
        for cell, chosen in zip(printed, ([0], np.flatnonzero(few), others), strict=True):
            assert float(cell) == pytest.approx(100 * np.mean([pair[chosen] for pair in pairs]), abs=0.006)


def test_which_classes_of_voc_are_rare(writer: dict[str, Any], data_root: Path) -> None:
    masks = sorted((data_root / "voc21" / "masks" / "train").glob("*.png"))
    present = sum(np.isin(np.arange(21), np.asarray(Image.open(path))).astype(int) for path in masks)
    assert len(masks) == 1169
    classes = (data_root / "voc21" / "classes.txt").read_text().split()
    few = {name: count for name, count in zip(classes, present, strict=True) if name in writer["FEW"]}
    assert (len(few), max(few.values())) == (12, 72)
    assert min(count for name, count in zip(classes, present, strict=True) if name not in few) == 78


def block_lines(name: str) -> list[str]:
    """What stands between a table's marks."""
    page = (ROOT / "docs" / "results" / "evidence.md").read_text()
    return page.split(f"<!-- {name} -->\n")[1].split(f"<!-- end of {name} -->")[0].strip().splitlines()


def cells_of(lines: list[str]) -> list[list[str]]:
    """Head, rule and rows of the table among lines."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def shown(pairs: list[float], tests: list[float] | None = None) -> str:
    """Mean and sd, and p where it is added to the ``tests``."""
    if len(pairs) < 2:
        return f"{np.mean(pairs):+.2f} (\N{EN DASH})"
    text = f"{np.mean(pairs):+.2f} ({np.std(pairs, ddof=1):.2f})"
    if tests is None:
        return text
    tests.append(scipy.stats.ttest_1samp(pairs, 0).pvalue)
    return f"{text}, p {tests[-1]:.3f}"


def said_of(tests: list[float]) -> str:
    """Of Holm's adjusted p the smallest is the smallest p times their number."""
    count, least = len(tests), min(tests)
    return (
        f"p is not adjusted for the {count} differences of this table; the smallest, {least:.3f}, is "
        f"{min(1, count * least):.2f} by Holm."
    )


def names(cell: Path) -> list[str]:
    return [each["name"] for each in json.loads((cell / "test.json").read_text())["classes"]]


def ious(cell: Path) -> Any:
    confusion = np.array(json.loads((cell / "test.json").read_text())["confusion"])
    hits = np.diag(confusion)
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


# Columns of tables -> data set, network, split.
COLUMNS = {
    **{f"scenes, {split}": ("scenes", "small-resnet", split) for split in ("seen", "unseen")},
    **{f"MSRC-21, {split}": ("msrc21", LITE, split) for split in ("val", "test")},
    **{f"500 steps, {split}": ("voc21", LITE, split) for split in ("val", "test")},
    **{f"1,168 steps, {split}": ("voc21-1168", LITE, split) for split in ("val", "test")},
}


def values(study: str, place: tuple[str, str, str], variant: str) -> dict[int, float]:
    """mIoU by seed."""
    cells = ROOT / "docs" / "results" / "evidence" / study / "cells" / place[0] / place[1] / variant
    found = {int(path.name.removeprefix("seed-")): path / f"{place[2]}.json" for path in sorted(cells.glob("seed-*"))}
    return {seed: json.loads(path.read_text())["mean_iou"] for seed, path in found.items()}


def three_pairs(study: str, place: tuple[str, str, str], side: str, other: str) -> list[float]:
    """Points of mIoU by which a side is above the other, of each of the three seeds."""
    ours, theirs = (values(study, place, variant) for variant in (side, other))
    assert set(ours) == set(theirs) == {0, 1, 2}
    return [100 * (ours[seed] - theirs[seed]) for seed in theirs]


def rows(page: str) -> list[dict[str, str]]:
    """Of the table whose first column is "data, split", by the names in its head."""
    lines = (ROOT / page).read_text().splitlines()
    found: list[dict[str, str]] = []
    head: list[str] = []
    for line in lines:
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if line.startswith("| data, split |"):
            head = cells
        elif not line.startswith("|"):
            head = []
        elif head and not line.startswith(("|---", "| ---")):
            found.append(dict(zip(head, cells, strict=True)))
    return found


def expected(dataset: str, split: str, network: str) -> dict[str, str]:
    """What such a row has to say, by the names of variants; a variant whose seeds are not all done has a dash."""
    study = json.loads((ROOT / "docs" / "results" / "evidence" / "evidence" / "study.json").read_text())
    place = (dataset, split, network)
    (group,) = (each for each in study["groups"] if (each["dataset"], each["split"], each["network"]) == place)
    variants: dict[str, Any] = {variant["name"]: variant for variant in group["variants"]}
    base = list(variants.pop("baseline")["values"]["mIoU"].values())
    said = {"seeds": str(len(base)), "baseline": points(sum(base) / len(base))}
    for name, variant in variants.items():
        contrast = variant["contrasts"]["mIoU"]
        if len(contrast["seeds"]) == len(base):
            p, spread = contrast["test"]["p"], points(contrast["difference_sd"])
            said[name] = f"{signed(contrast['difference'])} ({spread}), p {p:.3f}"
    return said


@pytest.mark.parametrize(("page", "least"), [("README.md", 6), ("docs/results/evidence.md", 4)])
def test_pages_say_what_the_study_says(page: str, least: int) -> None:
    found = rows(page)
    assert len(found) >= least
    for row in found:
        name, split = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", row.pop("data, split")).split(", ")
        said = expected(DATA[name], split, NETWORKS[row.pop("network", "Lite0 + Self-Attention")])
        for key, cell in row.items():
            key = "baseline" if key.startswith("baseline") else key
            assert cell.replace("\N{MINUS SIGN}", "-") == said.get(key, "\N{EN DASH}"), (page, name, split, key)
