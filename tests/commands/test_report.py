"""``classaware report``: from runs to files, and the page in a real browser."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium import opened

from classaware.commands import evaluations
from classaware.commands.evaluations import file_names
from classaware.commands.report import find_checkpoint
from classaware.commands.run_images import forget_explorer
from classaware.errors import InputError
from classaware.evaluation.record import read_record
from classaware.files import sha256
from classaware.insight.report import Report, write_report
from classaware.insight.report_blocks import Link, Section, Text

EVIL = "<img src=x onerror=alert(1)>"
QUOTED = 'it\'s "quoted" & <b>bold<'


@pytest.fixture(scope="session")
def evil_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images with a class and a file of unusual names."""
    root = tmp_path_factory.mktemp("evil") / "folder"
    shutil.copytree(folder, root)
    (root / "classes.txt").write_text(f"{EVIL}\nroad\ncar\n")
    for kind in ("images", "masks"):
        (root / kind / "test" / "1.png").rename(root / kind / "test" / f"{QUOTED}.png")
    return root


@pytest.fixture(scope="session")
def evil_report(evil_folder: Path, plain_run: Path, car_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from classaware.commands.report import run

    output = tmp_path_factory.mktemp("report")
    options = ["--splits", "test", "val", "--num_workers", "0", "--device", "cpu", "--output", str(output)]
    data = ["--dataset", "FolderDataset", "--dataset.root", str(evil_folder)]
    run([str(plain_run), str(car_run), "--names", EVIL, "car", *data, *options])
    return output


def test_files_and_numbers(evil_report: Path, plain_run: Path, car_run: Path) -> None:
    files = {path.name for path in (evil_report / "evaluations").iterdir()}
    assert {path.name for path in evil_report.iterdir()} == {
        "report.html", "report.json", "explorer.html", "evaluations"
    }  # fmt: skip
    assert len(files) == 4
    assert {"car-test.json", "car-val.json"} < files
    content = json.loads((evil_report / "report.json").read_text(), parse_constant=pytest.fail)
    assert (content["format"], content["version"]) == ("classaware-report", 1)
    assert [run["name"] for run in content["runs"]] == [EVIL, "car"]
    for run, folder in zip(content["runs"], (plain_run, car_run), strict=True):
        assert run["sha256"] == sha256(folder / "last.ckpt")
        for split in ("test", "val"):
            record = read_record(evil_report / run["splits"][split]["evaluation"])
            assert record.data["split"] == split
            assert run["splits"][split]["mean_iou"] == record.mean_iou
    one, other = (run["splits"]["test"]["mean_iou"] for run in content["runs"])
    assert content["comparisons"]["test"][0]["difference"] == pytest.approx(other - one, abs=1e-12)
    assert content["rare_combinations"]["val"][0]["images"] == 2
    page = (evil_report / "report.html").read_text()
    for words in ("In short", "What was run", "Rare combinations", "Class dependency", "Training", "Images"):
        assert f"<h2>{words}</h2>" in page
    assert "<img src=x" not in page
    assert "<b>bold<" not in page
    assert not list(evil_report.rglob("*.part"))


@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_a_browser(evil_report: Path, width: int) -> None:
    with opened(evil_report / "report.html", width) as page:
        page.run("for (const part of document.querySelectorAll('details')) part.open = true")
        assert [url for url in page.requests() if not url.startswith("data:")] == [
            (evil_report / "report.html").resolve().as_uri()
        ]
        assert page.console() == []
        assert page.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        broken = "return [...document.images].filter(i => !i.complete || i.naturalWidth === 0 || !i.alt).length"
        assert page.run(broken) == 0
        assert page.run("return document.images.length") > 12
        text = page.run("return document.body.textContent")
        assert EVIL in text
        assert QUOTED in text
        assert page.run("return document.querySelectorAll('script, [onerror]').length") == 0
        page.run("document.querySelector('.link a').click()")
        assert page.driver.current_url.partition("#")[0] == (evil_report / "explorer.html").resolve().as_uri()


def evaluate_no_more(*_: object) -> None:
    raise AssertionError("was evaluated again")


def test_an_evaluation_is_made_once(
    command: Callable[..., Any], car_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken from the run's folder or the report's; of another checkpoint, or damaged, it is made anew."""
    run = tmp_path / "run"
    shutil.copytree(car_run, run)
    options = ["--explorer", "false", "--images", 1, "--train_split", "null", "--num_workers", 0, "--device", "cpu"]
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text('<a href="explorer.html">')
    (tmp_path / "report" / "explorer.html").touch()
    assert command("evaluate", run / "last.ckpt", "--num_workers", 0, "--json", run / "mine.json").status == 0
    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "evaluate_network", evaluate_no_more)
        result = command("report", run, *options, "--output", tmp_path / "report")
        assert (result.status, result.err) == (0, "")
        assert str(tmp_path / "report" / "report.html") in result.out
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert content["runs"][0]["splits"]["test"]["evaluation"] == "../run/mine.json"
    assert content["rare_combinations"] == {}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.html", "report.json"}

    (run / "mine.json").write_text((run / "mine.json").read_text()[:-40])
    shutil.copy(run / "step2.ckpt", run / "last.ckpt")
    assert command("report", run, *options, "--output", tmp_path / "report").status == 0
    made = tmp_path / "report" / "evaluations" / "run-test.json"
    assert read_record(made).checkpoint["sha256"] == sha256(run / "step2.ckpt")
    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "evaluate_network", evaluate_no_more)
        assert command("report", run, *options, "--output", tmp_path / "report").status == 0


def test_an_evaluation_older_than_a_mask_is_made_anew(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--explorer", "false", "--images", 0, "--train_split", "null", "--num_workers", 0, "--device", "cpu"]
    assert command("report", car_run, *options, "--output", tmp_path).status == 0
    monkeypatch.setattr(evaluations, "evaluate_network", evaluate_no_more)
    assert command("report", car_run, *options, "--output", tmp_path).status == 0
    mask = sorted((folder / "masks" / "test").iterdir())[0]
    before = mask.stat()
    try:
        os.utime(mask, (time.time() + 60, time.time() + 60))
        with pytest.raises(AssertionError):
            command("report", car_run, *options, "--output", tmp_path)
    finally:
        os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_log_is_found_before_anything_is_evaluated(
    refused: Callable[..., str], plain_run: Path, car_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(car_run, run)
    (run / "logs" / "metrics.csv").write_text("loss,step\n1,x\n")
    monkeypatch.setattr(evaluations, "evaluate_network", evaluate_no_more)
    output = ["--output", tmp_path / "report", "--num_workers", 0, "--device", "cpu"]
    assert f"{run / 'logs' / 'metrics.csv'}" in refused("report", plain_run, run, *output)


def test_only_the_explorer_of_an_earlier_report_is_removed(tmp_path: Path) -> None:
    report, explorer = tmp_path / "report.html", tmp_path / "explorer.html"
    explorer.touch()
    forget_explorer(report, explorer)
    write_report(report, Report("T", sections=[Section("S", [Text("no link")])]))
    forget_explorer(report, explorer)
    assert explorer.exists()
    write_report(report, Report("T", sections=[Section("S", [Link("to it", explorer.name)])]))
    forget_explorer(report, explorer)
    assert not explorer.exists()
    forget_explorer(report, explorer)


def test_unusable_input_is_named(
    refused: Callable[..., str], car_run: Path, folder_of_five: Path, tmp_path: Path
) -> None:
    output = ["--output", tmp_path / "report", "--num_workers", 0]
    assert f"{tmp_path / 'nothing'}" in refused("report", tmp_path / "nothing", *output)
    assert "last.ckpt or best.ckpt" in refused("report", tmp_path, *output)
    assert "given twice" in refused("report", car_run, car_run, *output)
    assert "'nowhere'" in refused("report", car_run, "--splits", "nowhere", *output)
    assert "name every split once" in refused("report", car_run, "--splits", "test", "test", *output)
    assert "'unknown'" in refused("report", car_run, "--train_split", "unknown", *output)
    assert "--images -1" in refused("report", car_run, "--images", -1, *output)
    assert "2 names for 1" in refused("report", car_run, "--names", "a", "b", *output)
    five = ["--dataset", "FolderDataset", "--dataset.root", folder_of_five]
    assert "3 classes, the data set has 5" in refused("report", car_run, *five, *output)
    assert not list((tmp_path / "report").glob("*"))
    (tmp_path / "file").touch()
    assert "file" in refused("report", car_run, "--output", tmp_path / "file" / "report")


def test_the_checkpoint_of_a_run(tmp_path: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        (tmp_path / name).touch()
    assert find_checkpoint(tmp_path, None) == find_checkpoint(tmp_path, "last") == tmp_path / "last.ckpt"
    assert find_checkpoint(tmp_path, "best") == tmp_path / "best.ckpt"
    assert find_checkpoint(tmp_path / "best.ckpt", "last") == tmp_path / "best.ckpt"
    (tmp_path / "last.ckpt").unlink()
    assert find_checkpoint(tmp_path, None) == tmp_path / "best.ckpt"
    with pytest.raises(InputError, match=r"last\.ckpt"):
        find_checkpoint(tmp_path, "last")


def test_names_of_files_are_different_and_plain() -> None:
    found = file_names(["a/b", "a_b", "../x", "ä"], ["test"])
    assert len(set(found.values())) == 4
    assert all("/" not in name and not name.startswith(".") and name.endswith("-test.json") for name in found.values())
    assert file_names(["run"], ["seen", "unseen"]) == {
        ("run", "seen"): "run-seen.json", ("run", "unseen"): "run-unseen.json"
    }  # fmt: skip
    assert len(set(file_names(["a-b", "a"], ["c", "b-c"]).values())) == 4
