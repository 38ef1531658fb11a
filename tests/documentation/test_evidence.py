"""The studies under docs/results/evidence follow from their cells, and what pages say of them follows from them."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT

from classaware.evaluation.formatting import points, signed
from classaware.study.reading import read_study
from classaware.study.results import collect

FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "results" / "evidence").glob("*/study.json"))
# Names in the pages' tables -> names in the study.
DATA = {"CamVid": "camvid", "MSRC-21": "msrc21", "VOC subset": "voc21", "biased scenes": "scenes"}
NETWORKS = {"Lite0 + Self-Attention": "lite0-self-attention", "small ResNet + Self-Attention": "small-resnet"}


def test_there_are_studies() -> None:
    assert {"evidence"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_results_follow_from_the_cells(folder: Path) -> None:
    study = read_study(ROOT / "studies" / f"{folder.name}.yaml")
    written = json.loads((folder / "study.json").read_text())
    assert json.loads(json.dumps(collect(study, folder).to_dict())) == written


def test_the_ideas_tables_follow_from_their_trainings() -> None:
    table = runpy.run_path(str(ROOT / "studies" / "ideas_table.py"))["table"]
    page = (ROOT / "docs" / "results" / "evidence.md").read_text()
    for settled in (True, False):
        lines = table(ROOT / "docs" / "results" / "evidence" / "ideas.jsonl", settled)
        assert len(lines) > 10
        assert "\n".join(lines) in page


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
