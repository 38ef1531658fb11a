"""``classaware predict`` called again: what is done stays, what is missing or changed is done, nothing is mixed."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from classaware.commands import predict
from classaware.commands.prediction import results
from classaware.files import check_writable


@pytest.fixture
def images(folder: Path, tmp_path: Path) -> Path:
    """Three images."""
    shutil.copytree(folder / "images" / "test", tmp_path / "images")
    return tmp_path / "images"


def times(output: Path) -> dict[str, int]:
    """Every mask and overlay with the time when it was written."""
    return {path.relative_to(output).as_posix(): path.stat().st_mtime_ns for path in output.rglob("*.png")}


def contents(output: Path) -> dict[str, bytes]:
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_what_is_missing_is_done_and_nothing_else(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    call = ["predict", car_run / "last.ckpt", images, "--output"]
    assert command(*call, whole).status == 0

    looked: list[str] = []
    look = predict._look

    def dying(predictor: Any, path: Path) -> Any:
        looked.append(path.name)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return look(predictor, path)

    monkeypatch.setattr(predict, "_look", dying)
    assert command(*call, out).status == 130
    before = times(out)
    assert set(before) == {f"{kind}/{i}.png" for kind in ("masks", "overlays") for i in (0, 1)}

    looked.clear()
    monkeypatch.setattr(predict, "_look", lambda *given: (looked.append(given[1].name), look(*given))[1])
    result = command(*call, out)
    assert (result.status, looked) == (0, ["2.png"])
    assert result.out.splitlines() == ["2 of 3 images are done already", str(out)]
    assert times(out).items() >= before.items()
    assert contents(out) == contents(whole)

    record = (out / "predictions.json").stat().st_mtime_ns
    assert command(*call, out).out.splitlines()[0] == "3 of 3 images are done already"
    assert looked == ["2.png"]
    assert (out / "predictions.json").stat().st_mtime_ns == record


def test_an_overlay_without_its_mask_is_done_anew(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left when the process ends between the two."""
    call = ["predict", car_run / "last.ckpt", images, "--output", tmp_path / "out"]
    writing = predict.index_png

    def ending(label: Any, palette: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "index_png", ending)
    assert command(*call).status == 130
    assert set(times(tmp_path / "out")) == {"overlays/0.png"}
    monkeypatch.setattr(predict, "index_png", writing)
    result = command(*call)
    assert result.out == f"{tmp_path / 'out'}\n"
    assert len(times(tmp_path / "out")) == 6


def test_the_record_says_what_the_results_are(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    more = ["--overlays", "false", "--scales", "[0.5,1.0]"]
    assert command("predict", car_run / "last.ckpt", images / "1.png", "--output", out, *more).status == 0
    record = json.loads((out / "predictions.json").read_text())
    status = (images / "1.png").stat()
    stamp = {"path": str(images / "1.png"), "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    assert record["images"] == {"1": stamp}
    assert record["class_names"] == ["sky", "road", "car"]
    assert record["inference"]["scales"] == [0.5, 1.0]
    assert (record["overlays"], record["alpha"], record["legend"]) == (False, None, False)
    # More images for the same folder are added.
    assert command("predict", car_run / "last.ckpt", images / "0.png", "--output", out, *more).status == 0
    assert list(json.loads((out / "predictions.json").read_text())["images"]) == ["1", "0"]
    assert set(times(out)) == {"masks/0.png", "masks/1.png"}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--flip", "true"], "flip false, now true"),
        (["--window", "[33,33]"], "window null, now [33, 33]"),
        (["--alpha", "0.25"], "alpha 0.5, now 0.25"),
        (["--legend", "false"], "legend true, now false"),
        (["other network"], "another network"),
    ],
)
def test_other_settings_are_refused_or_begin_anew(
    command: Callable[..., Any],
    refused: Callable[..., str],
    car_run: Path,
    plain_run: Path,
    images: Path,
    tmp_path: Path,
    more: list[str],
    named: str,
) -> None:
    out = tmp_path / "out"
    assert command("predict", car_run / "last.ckpt", images, "--output", out).status == 0
    before = contents(out)
    checkpoint = car_run / "last.ckpt"
    if more == ["other network"]:
        checkpoint, more = plain_run / "last.ckpt", []
    call = ["predict", checkpoint, images / "0.png", "--output", out, *more]
    assert named in refused(*call)
    assert contents(out) == before
    assert command(*call, "--overwrite", "true").status == 0
    # Nothing of the earlier settings is left, or it would be taken for what these make.
    assert set(times(out)) == {"masks/0.png", "overlays/0.png"}
    assert command("predict", checkpoint, images, "--output", tmp_path / "new", *more).status == 0
    assert command("predict", checkpoint, images, "--output", out, *more).out.startswith("1 of 3 images")
    assert contents(out) == contents(tmp_path / "new")


def test_the_same_network_elsewhere_goes_on(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copy(car_run / "last.ckpt", tmp_path / "copy.ckpt")
    assert command("predict", car_run / "last.ckpt", images / "0.png", "--output", tmp_path / "out").status == 0
    result = command("predict", tmp_path / "copy.ckpt", images, "--output", tmp_path / "out")
    assert result.out.startswith("1 of 3 images are done already")


def test_with_overwrite_the_images_are_done_anew_and_others_stay(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path
) -> None:
    call = ["predict", car_run / "last.ckpt", "--output", tmp_path / "out"]
    assert command(*call, images).status == 0
    before = times(tmp_path / "out")
    assert command(*call, images / "1.png", "--overwrite", "true").status == 0
    after = times(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"masks/1.png", "overlays/1.png"}


def test_a_changed_image_is_done_anew_also_after_an_interruption(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ["predict", car_run / "last.ckpt", images, "--output", tmp_path / "out"]
    assert command(*call).status == 0
    Image.new("RGB", (40, 30), (200, 30, 90)).save(images / "1.png")
    os.utime(images / "1.png", ns=(1, 1))  # older than its mask, as copies can be

    def dying(*given: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predict, "_look", dying)
        assert command(*call).status == 130
    assert command(*call).out.startswith("2 of 3 images")
    with Image.open(tmp_path / "out" / "masks" / "1.png") as mask:
        assert mask.size == (40, 30)


def test_another_image_of_the_same_name_is_refused(
    command: Callable[..., Any], refused: Callable[..., str], car_run: Path, images: Path, tmp_path: Path
) -> None:
    call = ["predict", car_run / "last.ckpt", "--output", tmp_path / "out"]
    assert command(*call, images / "0.png").status == 0
    (tmp_path / "other").mkdir()
    shutil.copy(images / "1.png", tmp_path / "other" / "0.png")
    before = contents(tmp_path / "out")
    assert str(images / "0.png") in refused(*call, tmp_path / "other" / "0.png")
    assert contents(tmp_path / "out") == before
    # The same image in another place is the same.
    shutil.copytree(images, tmp_path / "moved")
    assert command(*call, tmp_path / "moved").out.startswith("1 of 3 images")


def test_files_that_are_no_results_are_not_replaced(
    command: Callable[..., Any], refused: Callable[..., str], car_run: Path, images: Path, tmp_path: Path
) -> None:
    """Such as the labels of a data set, which lie in a folder of the same name."""
    label = tmp_path / "data" / "masks" / "1.png"
    label.parent.mkdir(parents=True)
    label.write_bytes(b"mine")
    call = ["predict", car_run / "last.ckpt", images, "--output", tmp_path / "data"]
    assert str(label) in refused(*call)
    assert [path for path in tmp_path.joinpath("data").rglob("*") if path.is_file()] == [label]
    assert label.read_bytes() == b"mine"
    assert command(*call, "--overwrite", "true").status == 0
    Image.open(label).load()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "x", "version": 1}', "\udcff", None])
def test_a_damaged_record_is_named(
    refused: Callable[..., str], car_run: Path, images: Path, tmp_path: Path, content: str | None
) -> None:
    record = tmp_path / "out" / "predictions.json"
    record.parent.mkdir()
    if content is None:
        record.mkdir()
    else:
        record.write_bytes(content.encode(errors="surrogateescape"))
    assert str(record) in refused("predict", car_run / "last.ckpt", images, "--output", tmp_path / "out")


def test_overwrite_gets_past_a_damaged_record(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path
) -> None:
    call = ["predict", car_run / "last.ckpt", images, "--output", tmp_path / "out"]
    assert command(*call).status == 0
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "predictions.json").write_text('{"format')
    assert command(*call, "--overwrite", "true").out == f"{tmp_path / 'out'}\n"
    assert contents(tmp_path / "out") == whole


def test_what_is_empty_or_gone_is_done_anew(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path
) -> None:
    call = ["predict", car_run / "last.ckpt", images, "--output", tmp_path / "out"]
    assert command(*call).status == 0
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "masks" / "0.png").write_bytes(b"")
    (tmp_path / "out" / "overlays" / "1.png").unlink()
    (tmp_path / "out" / "overlays" / "2.png").write_bytes(b"")
    assert command(*call).out == f"{tmp_path / 'out'}\n"
    (tmp_path / "out" / "masks" / "0.png").unlink()
    assert command(*call).out.startswith("2 of 3 images")
    assert contents(tmp_path / "out") == whole


def test_a_record_that_names_files_outside_removes_none(
    refused: Callable[..., str], car_run: Path, images: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    assert command("predict", car_run / "last.ckpt", images, "--output", tmp_path / "out").status == 0
    record = tmp_path / "out" / "predictions.json"
    content = json.loads(record.read_text())
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"mine")
    for name in ("../../mine", str(tmp_path / "mine")):
        record.write_text(json.dumps(content | {"images": {name: next(iter(content["images"].values()))}}))
        call = ["predict", car_run / "last.ckpt", images, "--output", tmp_path / "out", "--flip", "true"]
        assert "outside of the folder" in refused(*call)
        assert command(*call, "--overwrite", "true").status == 0
        assert mine.read_bytes() == b"mine"


def test_the_longest_names_have_results(
    command: Callable[..., Any], car_run: Path, images: Path, tmp_path: Path
) -> None:
    name = 251 * "x"
    (images / "0.png").rename(images / f"{name}.png")
    call = ["predict", car_run / "last.ckpt", images / f"{name}.png", "--output", tmp_path / "out"]
    assert command(*call).status == 0
    assert set(times(tmp_path / "out")) == {f"masks/{name}.png", f"overlays/{name}.png"}
    check_writable(tmp_path / f"{name}.txt")
    assert not (tmp_path / f"{name}.txt").exists()


def test_two_that_begin_at_once_speak_of_all(tmp_path: Path) -> None:
    """The later one waits for the record of the first."""
    settings = {"network": {"sha256": "0"}, "overlays": False}
    names = [{f"{k}-{i}": tmp_path / f"{k}-{i}.png" for i in range(300)} for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda images: results.open_results(tmp_path / "out", settings, images, False), names))
    recorded = json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]
    assert recorded.keys() == {name for images in names for name in images}


def test_the_record_grows_with_the_images_and_not_their_square(tmp_path: Path) -> None:
    """It is written once a call: not after every image."""
    written: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "write_atomically", lambda path, content: written.append(len(content)))
        names = {f"{i:05}": tmp_path / f"{i:05}.png" for i in range(3000)}
        opened = results.open_results(tmp_path / "out", {"network": {"sha256": "0"}}, names, False)
    assert opened.missing == list(names)
    assert len(written) == 1
    assert written[0] < 3000 * 250


def test_a_folder_that_cannot_be_written_to_is_named(
    refused: Callable[..., str], car_run: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "masks").write_text("a file")
    error = refused("predict", car_run / "last.ckpt", images, "--output", tmp_path)
    assert str(tmp_path / "masks") in error
