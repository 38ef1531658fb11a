"""``classaware predict``: masks and overlays for images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from classaware.evaluation import confusion_matrix, scores
from classaware.training import load_network

WAYS: dict[str, list[str]] = {
    "as trained": [],
    "whole, multi-scale": ["--pad_size", "[65,65]", "--scales", "[0.5,1.0,1.5]", "--flip", "true"],
    "sliding": ["--window", "[33,33]", "--stride", "[20,11]", "--average", "probabilities"],
}


@pytest.mark.parametrize("way", WAYS)
def test_masks_are_evaluates_predictions(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path, way: str
) -> None:
    checkpoint = car_run / "last.ckpt"
    result = command("predict", checkpoint, folder / "images", "--output", tmp_path / "out", *WAYS[way])
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[-1] == str(tmp_path / "out")
    confusion = torch.zeros(3, 3, dtype=torch.int64)
    for path in sorted((folder / "masks" / "test").iterdir()):
        guess = np.array(Image.open(tmp_path / "out" / "masks" / "test" / path.name)).astype(np.int64)
        truth = np.array(Image.open(path)).astype(np.int64)
        confusion += confusion_matrix(torch.from_numpy(guess)[None], torch.from_numpy(truth)[None], 3, 255)
    evaluated = ["--json", tmp_path / "s.json", "--num_workers", 0, "--boundary", "false"]
    assert command("evaluate", checkpoint, *evaluated, *WAYS[way]).status == 0
    numbers = json.loads((tmp_path / "s.json").read_text())
    ours = scores(confusion, ["sky", "road", "car"]).to_dict()
    assert ours == {name: numbers[name] for name in ours}


def test_folders_are_kept_and_every_image_has_its_size_and_palette(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    checkpoint, output = car_run / "last.ckpt", tmp_path / "out"
    wide = tmp_path / "in" / "deep" / "er" / "wide.JPG"
    wide.parent.mkdir(parents=True)
    Image.new("L", (71, 35), 90).save(wide)
    Image.new("RGBA", (40, 50), (9, 99, 199, 100)).save(tmp_path / "in" / "tall.webp")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert command("predict", checkpoint, tmp_path / "in", "--output", output, "--legend", "false").status == 0
    written = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    images = {f"{kind}/{name}.png" for kind in ("masks", "overlays") for name in ("deep/er/wide", "tall")}
    assert written == {*images, "predictions.json"}
    palette = load_network(checkpoint)[1].palette
    for name, size in (("deep/er/wide", (71, 35)), ("tall", (40, 50))):
        with Image.open(output / "masks" / f"{name}.png") as mask:
            assert (mask.mode, mask.size) == ("P", size)
            assert set(np.unique(np.array(mask))) <= {0, 1, 2}
            colors = mask.getpalette()
            assert colors is not None
            used = int(np.array(mask).max()) + 1
            assert colors[: 3 * used] == [channel for color in palette[:used] for channel in color]
        with Image.open(output / "overlays" / f"{name}.png") as overlay:
            assert (overlay.mode, overlay.size) == ("RGB", size)


def test_overlays_can_be_left_out_and_the_size_chosen(
    command: Callable[..., Any], plain_run: Path, folder: Path, tmp_path: Path
) -> None:
    image = folder / "images" / "test" / "0.png"
    more = ["--overlays", "false", "--image_size", "[24,40]"]
    assert command("predict", plain_run / "best.ckpt", image, "--output", tmp_path, *more).status == 0
    assert [path.name for path in tmp_path.rglob("*.png")] == ["0.png"]
    with Image.open(tmp_path / "masks" / "0.png") as mask:
        assert mask.size == (64, 48)


def test_overlays_have_a_legend_of_the_classes_in_the_mask(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    image = folder / "images" / "test" / "0.png"
    for legend in ("true", "false"):
        more = ["--output", tmp_path / legend, "--alpha", "0.25", "--legend", legend]
        assert command("predict", car_run / "last.ckpt", image, *more).status == 0
    overlays = [np.array(Image.open(tmp_path / legend / "overlays" / "0.png")) for legend in ("true", "false")]
    masks = [np.array(Image.open(tmp_path / legend / "masks" / "0.png")) for legend in ("true", "false")]
    assert np.array_equal(*masks)
    palette = load_network(car_run / "last.ckpt")[1].palette
    pixels = np.array(Image.open(image)).astype(float)
    assert np.abs(overlays[1] - (0.75 * pixels + 0.25 * np.array(palette)[masks[0]])).max() <= 0.5
    assert np.array_equal(overlays[0][:48, :64], overlays[1])
    assert overlays[0].size > overlays[1].size
    shown = {tuple(color) for color in overlays[0][:, 64:].reshape(-1, 3).tolist()}
    shown |= {tuple(color) for color in overlays[0][48:].reshape(-1, 3).tolist()}
    assert {k for k in range(3) if tuple(palette[k]) in shown} == set(np.unique(masks[0]).tolist())


def test_an_unreadable_image_costs_no_other(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes((folder / "images" / "test" / "1.png").read_bytes()[:500])
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    good = [folder / "images" / "test" / f"{i}.png" for i in (0, 2)]
    images = [good[0], tmp_path / "bad.png", tmp_path / "deep.png", good[1]]
    result = command("predict", car_run / "last.ckpt", *images, "--output", tmp_path / "out")
    assert result.status == 1
    first, second, last = result.err.splitlines()
    assert first.startswith(f"classaware predict: {tmp_path / 'bad.png'} cannot be read")
    assert "16 or 32 bits" in second
    assert str(tmp_path / "deep.png") in second
    assert "error: 2 of 4 images" in last
    written = list((tmp_path / "out").rglob("*.*"))
    names = {"predictions.json", *(f"{kind}/{i}.png" for kind in ("masks", "overlays") for i in (0, 2))}
    assert {path.relative_to(tmp_path / "out").as_posix() for path in written} == names
    for path in written:
        if path.suffix == ".png":
            Image.open(path).load()


def test_one_unreadable_image_is_one_error(refused: Callable[..., str], car_run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert str(tmp_path / "bad.png") in refused(
        "predict", car_run / "last.ckpt", tmp_path / "bad.png", "--output", tmp_path / "out"
    )


def test_two_images_for_one_result_are_refused(
    refused: Callable[..., str], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    first, second = (folder / "images" / split / "0.png" for split in ("test", "train"))
    error = refused("predict", car_run / "last.ckpt", first, second, "--output", tmp_path / "out")
    assert str(first) in error
    assert str(second) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--alpha", "2"], "alpha=2.0"),
        (["--alpha", "x"], "alpha"),
        (["--image_size", "[0,5]"], "image_size=[0, 5]"),
        (["--stride", "[5,5]"], "stride=[5, 5]"),
        (["--overlays", "maybe"], "overlays"),
        (["--device", "abacus"], "'abacus'"),
        (["--no_such_option"], "--no_such_option"),
        (["missing.png"], "missing.png"),
        (["empty"], "empty"),
        (["empty/*.png"], "pattern empty/*.png"),
        (["--legend", "2"], "legend"),
        ([""], "the path '' is empty"),
        (["classes.txt"], "classes.txt"),
        (["--output", "classes.txt"], "classes.txt"),
        (["--output", ""], "the path '' is empty"),
    ],
)
def test_what_cannot_be_predicted_is_named(
    refused: Callable[..., str],
    car_run: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("classes.txt").write_text("sky\n")
    given = ("missing.png", "empty", "empty/*.png", "classes.txt")
    images = [] if more[0] in given else [folder / "images" / "test" / "0.png"]
    error = refused("predict", car_run / "last.ckpt", "--output", "out", *more, *images)
    assert error.startswith("classaware predict: error: ")
    assert named in error
    assert not list(Path().rglob("*.png"))


def test_what_is_required_is_named(refused: Callable[..., str], car_run: Path) -> None:
    assert "checkpoint, images, output" in refused("predict")
    assert "network" in refused("evaluate")
