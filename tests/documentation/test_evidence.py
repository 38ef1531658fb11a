"""The studies under docs/results/evidence: they follow from their cells, and the README says what they say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT

from classaware.evaluation.formatting import points, signed
from classaware.study.reading import read_study
from classaware.study.results import collect

FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "results" / "evidence").glob("*/study.json"))
# Names in the README's table -> names in the study.
DATA = {"CamVid": "camvid", "MSRC-21": "msrc21", "VOC subset": "voc21", "biased scenes": "scenes"}
ROW = re.compile(r"^\| \[([^\]]+)\]\(docs/results/evidence\.md\), (\w+) \|(.+)\|$", re.MULTILINE)


def test_there_are_studies() -> None:
    assert {"evidence"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_results_follow_from_the_cells(folder: Path) -> None:
    study = read_study(ROOT / "studies" / f"{folder.name}.yaml")
    written = json.loads((folder / "study.json").read_text())
    assert json.loads(json.dumps(collect(study, folder).to_dict())) == written


def group(study: dict[str, Any], dataset: str, split: str) -> dict[str, Any]:
    found = [each for each in study["groups"] if (each["dataset"], each["split"]) == (dataset, split)]
    assert len(found) == 1, (dataset, split)
    return {variant["name"]: variant for variant in found[0]["variants"]}


def test_the_readme_says_what_the_study_says() -> None:
    readme = (ROOT / "README.md").read_text()
    study = json.loads((ROOT / "docs" / "results" / "evidence" / "evidence" / "study.json").read_text())
    rows = ROW.findall(readme)
    header = re.search(r"^\| data, split \|(.+)\|$", readme, re.MULTILINE)
    assert header is not None
    names = [cell.strip(" `") for cell in header[1].split("|")][2:]
    assert len(rows) >= 4
    for data, split, rest in rows:
        _, seeds, baseline, *differences = (cell.strip() for cell in rest.split("|"))
        variants = group(study, DATA[data], split)
        base = list(variants["baseline"]["values"]["mIoU"].values())
        assert int(seeds) == len(base), (data, split)
        assert baseline == points(sum(base) / len(base)), (data, split)
        for name, cell in zip(names, differences, strict=True):
            contrast = variants[name]["contrasts"]["mIoU"]
            assert len(contrast["seeds"]) == int(seeds)
            p = contrast["test"]["p"]
            said = f"{signed(contrast['difference'])} ({points(contrast['difference_sd'])}), p {p:.2f}"
            assert cell.replace("−", "-") == said, (data, split, name)
