"""``classaware export`` and what takes its files."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classaware.deployment.exported import load_exported
from classaware.deployment.tracing import TRACES_FREE_SIZES
from classaware.files import sha256

pytestmark = pytest.mark.skipif(not TRACES_FREE_SIZES, reason="exporting for any size needs torch 2.13 or newer")


@pytest.fixture(params=[".onnx", ".pt2"])
def ending(request: pytest.FixtureRequest) -> str:
    if request.param == ".onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    return str(request.param)


def test_from_a_checkpoint_to_masks(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path, ending: str
) -> None:
    """With its evaluation in the card; the masks are the checkpoint's."""
    checkpoint, path, record = car_run / "best.ckpt", tmp_path / "made" / f"net{ending}", tmp_path / "record.json"
    evaluated = command("evaluate", checkpoint, "--num_workers", 0, "--device", "cpu", "--json", record)
    assert evaluated.status == 0, evaluated.err
    result = command("export", checkpoint, path, "--metrics", record)
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[-1] == str(path)
    assert [" ".join(line.split()[3:6]) for line in lines if " x " in line] == ["129 x 129", "97 x 210", "224 x 160"]
    assert len(lines) == 9  # nothing of what the exporters print
    assert [each.name for each in path.parent.iterdir()] == [path.name]

    said = load_exported(path)[0].description
    assert said["metrics"]["split"] == "test"
    assert 0 <= said["metrics"]["mean_iou"] <= 1
    assert said["checkpoint_sha256"] == sha256(checkpoint)
    assert said["step"] in (2, 4)

    for name, network in (("exported", path), ("trained", checkpoint)):
        out = tmp_path / name
        assert command("predict", network, folder / "images" / "test", "--device", "cpu", "--output", out).status == 0
    masks = sorted((tmp_path / "trained" / "masks").rglob("*.png"))
    assert len(masks) == 3
    pairs = [
        (np.array(Image.open(tmp_path / "exported" / "masks" / mask.relative_to(tmp_path / "trained" / "masks"))), mask)
        for mask in masks
    ]
    assert np.mean([(found == np.array(Image.open(mask))).mean() for found, mask in pairs]) > 0.999

    again = tmp_path / f"again{ending}"
    assert command("export", checkpoint, again, "--metrics", record).status == 0
    assert again.read_bytes() == path.read_bytes()


def test_one_size_and_logits_at_the_features(
    command: Callable[..., Any], refused: Callable[..., str], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.pt2"
    options = ["--size", "[48,64]", "--full_size", "false"]
    assert command("export", car_run / "last.ckpt", path, *options).status == 0
    said = load_exported(path)[0].description
    assert (said["sizes"]["height"], said["sizes"]["width"]) == ([48, 48], [64, 64])
    assert said["output"]["at"] == "feature size"
    assert [each["images"] for each in said["compared"]] == [1, 2, 3]
    images = folder / "images" / "test"
    assert command("predict", path, images, "--output", tmp_path / "a").status == 0  # 48 x 64 each
    result = command("predict", path, images, "--output", tmp_path / "b", "--image_size", "[50,64]")
    assert "exported for 48 x 64 alone" in result.err
    assert "window" in result.err
    assert "at least 33" in refused("export", car_run / "last.ckpt", tmp_path / "b.pt2", "--size", "[20,64]")


def test_what_is_refused_before_the_work(
    refused: Callable[..., str], car_run: Path, plain_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from classaware.deployment import exporting

    def no_work(*_: object) -> None:
        raise AssertionError("the network was traced")

    monkeypatch.setattr(exporting, "trace", no_work)
    checkpoint = car_run / "last.ckpt"
    assert "must be named *.onnx or *.pt2" in refused("export", checkpoint, tmp_path / "net.pth")
    there = tmp_path / "there.pt2"
    there.write_bytes(b"mine")
    assert "--overwrite true" in refused("export", checkpoint, there)
    assert there.read_bytes() == b"mine"
    (tmp_path / "file").touch()
    assert "cannot write" in refused("export", checkpoint, tmp_path / "file" / "net.pt2")
    assert "is an exported file" in refused("export", there, tmp_path / "net.pt2")
    assert "does not exist" in refused("export", tmp_path / "none.ckpt", tmp_path / "net.pt2")
    assert "cannot be read" in refused("export", _cut(checkpoint, tmp_path), tmp_path / "net.pt2")
    assert "does not exist" in refused("export", checkpoint, tmp_path / "net.pt2", "--metrics", tmp_path / "no.json")
    (tmp_path / "no.json").write_text("{}")
    assert "no.json" in refused("export", checkpoint, tmp_path / "net.pt2", "--metrics", tmp_path / "no.json")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install 'classaware[export]'" in refused("export", checkpoint, tmp_path / "net.onnx")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cut.ckpt", "file", "no.json", "there.pt2"]


def test_the_evaluation_of_another_network(
    command: Callable[..., Any], refused: Callable[..., str], car_run: Path, plain_run: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    assert command("evaluate", plain_run / "last.ckpt", "--num_workers", 0, "--json", record).status == 0
    error = refused("export", car_run / "last.ckpt", tmp_path / "net.pt2", "--metrics", record)
    assert "evaluation of another network" in error
    assert not (tmp_path / "net.pt2").exists()


def _cut(checkpoint: Path, folder: Path) -> Path:
    path = folder / "cut.ckpt"
    path.write_bytes(checkpoint.read_bytes()[:1000])
    return path
