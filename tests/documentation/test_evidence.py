"""The studies under docs/results/evidence follow from their cells."""

import json
from pathlib import Path

import pytest
from pages import ROOT

from classaware.study.reading import read_study
from classaware.study.results import collect

FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "results" / "evidence").glob("*/study.json"))


def test_there_are_studies() -> None:
    assert {"evidence"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_results_follow_from_the_cells(folder: Path) -> None:
    study = read_study(ROOT / "studies" / f"{folder.name}.yaml")
    written = json.loads((folder / "study.json").read_text())
    assert json.loads(json.dumps(collect(study, folder).to_dict())) == written
