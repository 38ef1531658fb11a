"""``classaware demo --quick`` from nothing to the report."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_quick_demo(
    command: Callable[..., Any], refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    output = tmp_path / "demo"
    result = command("demo", "--quick", "--seed", 3, "--output", output)
    assert (result.status, result.err) == (0, "")
    assert "unfamiliar pairs" in result.out
    assert str(output / "report.html") in result.out

    results = json.loads((output / "results.json").read_text())
    assert results.keys() == {"seed", "steps", "baseline", "car"}
    assert (results["seed"], results["steps"]) == (3, 12)
    for name in ("baseline", "car"):
        assert results[name].keys() == {"seen", "unseen"}
        for split in results[name].values():
            assert split.keys() == {"all", "things"}
            assert all(math.isfinite(value) and 0 <= value <= 1 for value in split.values())
        assert (output / name / "last.ckpt").is_file()

    report = (output / "report.html").read_text()
    assert report.count("data:image/") >= 24
    assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", report)
    assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", report)
    assert not list(tmp_path.rglob("*.part"))

    before = (output / "results.json").read_bytes()
    assert str(output) in refused("demo", "--quick", "--output", output)
    assert (output / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "named"), [(["--seed", "x"], "seed"), (["--steps", "3"], "--steps"), (["--output", "file/demo"], "file")]
)
def test_unusable_options(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("file").write_text("")
    error = refused("demo", "--quick", *more)
    assert error.startswith("classaware demo: error: ")
    assert named in error
