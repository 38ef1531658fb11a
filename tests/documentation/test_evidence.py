"""The studies under docs/results/evidence follow from their cells, and the ideas' tables from their trainings."""

import importlib.util
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


def test_the_ideas_tables_follow_from_their_trainings() -> None:
    spec = importlib.util.spec_from_file_location("ideas_table", ROOT / "studies" / "ideas_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "results" / "evidence.md").read_text()
    for settled in (True, False):
        lines = module.table(ROOT / "docs" / "results" / "evidence" / "ideas.jsonl", settled)
        assert len(lines) > 10
        assert "\n".join(lines) in page
