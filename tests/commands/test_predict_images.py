"""Which images ``classaware predict`` finds, and what their results are called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classaware.commands.prediction.images import name_results
from classaware.data import read_image
from classaware.deployment.hub import PretrainedSegmenter
from classaware.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_are_searched_in_depth(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.b.jpg", "sub/a.png", "sub/c.txt", "sub/._a.png", ".cache/x.png", "__MACOSX/x.png")
    (tmp_path / "folder.png").mkdir()
    named = name_results([tmp_path])
    assert named == {"a": tmp_path / "a.png", "a.b": tmp_path / "a.b.jpg", "sub/a": tmp_path / "sub" / "a.png"}
    assert list(named.values()) == sorted(named.values())
    touch(tmp_path, "a.jpeg")
    with pytest.raises(InputError, match=r"a\.jpeg and .*a\.png would both be written to a\.png"):
        name_results([tmp_path])


def test_patterns_keep_the_folders_behind_their_first_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/0.jpg", "in/x/1.jpg", "in/x/y/2.JPG", "in/x/3.txt", "in/x/4.tif", "in/.h/5.jpg")
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    everything = {"0": folder / "0.jpg", "x/1": folder / "x/1.jpg", "x/y/2": folder / "x/y/2.JPG"}
    for pattern in ("in/**/*", "in/**", "in/**/*.*", "in/**/*.[jJ][pP][gG]"):
        assert name_results([Path(pattern)]) == everything, pattern
    assert name_results([folder]) == everything
    assert name_results([Path("in/x/*.jpg")]) == {"1": folder / "x/1.jpg"}
    assert name_results([Path("*/*.jpg")]) == {"in/0": folder / "0.jpg"}
    assert name_results([Path("in/?/*.tif")]) == {"x/4": folder / "x/4.tif"}  # an ending that was asked for
    absolute = tmp_path / "in" / "**" / "[12].*"
    assert name_results([absolute]) == {name: tmp_path / everything[name] for name in ("x/1", "x/y/2")}


def test_a_file_with_a_sign_of_patterns_in_its_name_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "[1].png", "1.png")
    assert name_results([tmp_path / "[1].png"]) == {"[1]": tmp_path / "[1].png"}


def test_an_image_given_twice_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/0.jpg", "in/x/1.jpg")
    monkeypatch.chdir(tmp_path)
    first = {"0": Path("in/0.jpg"), "x/1": Path("in/x/1.jpg")}
    assert name_results([Path("in"), tmp_path / "in" / "0.jpg", Path("in/x"), Path("in/*.jpg"), Path("in")]) == first


def test_results_of_other_calls_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "out/masks/0.png", "out/overlays/x/0.png", "out/in/1.png", "out/predictions.json")
    touch(tmp_path, "data/masks/2.png")  # without a record beside it
    wanted = {"0", "out/in/1", "data/masks/2"}
    assert set(name_results([tmp_path])) == set(name_results([tmp_path / "**" / "*.png"])) == wanted
    assert set(name_results([tmp_path / "out" / "masks"])) == {"0"}  # asked for


def test_a_folder_with_brackets_in_its_name_gets_a_hint(tmp_path: Path) -> None:
    touch(tmp_path, "photos [2020]/0.png")
    with pytest.raises(InputError, match=r"\[\[\] is the sign \[ itself"):
        name_results([tmp_path / "photos [2020]" / "*.png"])
    assert set(name_results([tmp_path / "photos [[]2020]" / "*.png"])) == {"photos [2020]/0"}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_photos_are_turned_upright_in_prediction_alone(
    command: Callable[..., Any], plain_run: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned to the left by a quarter
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(pixels).save(tmp_path / "damaged.png", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x09\x01")
    assert command("predict", plain_run / "last.ckpt", tmp_path, "--output", tmp_path / "out").status == 0
    for kind in ("masks", "overlays"):
        upright = np.array(Image.open(tmp_path / "out" / kind / "upright.png"))
        for name in ("turned", "damaged"):
            assert np.array_equal(np.array(Image.open(tmp_path / "out" / kind / f"{name}.png")), upright), (kind, name)
    network = PretrainedSegmenter.from_checkpoint(plain_run / "last.ckpt")
    assert np.array_equal(network.predict(tmp_path / "turned.png"), network.predict(tmp_path / "upright.png"))
    assert read_image(tmp_path / "turned.png").shape == (3, 50, 33)


def test_results_are_no_images(command: Callable[..., Any], plain_run: Path, folder: Path, tmp_path: Path) -> None:
    """Called twice with an output inside the folder of images."""
    Image.open(folder / "images" / "test" / "0.png").save(tmp_path / "0.png")
    for given in (tmp_path, tmp_path, tmp_path / "**" / "*.png"):
        result = command("predict", plain_run / "last.ckpt", given, "--output", tmp_path / "out")
        assert (result.status, result.err) == (0, "")
        written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
        assert written == ["0.png", "out/masks/0.png", "out/overlays/0.png"]
