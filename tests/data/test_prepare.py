"""A data set prepared: exact, resumable, the same for any number of workers, safe against what it is given."""

import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classaware.data.folder import FolderDataset
from classaware.data.manifest import Manifest, read_files
from classaware.data.preparation.archives import Entry
from classaware.data.preparation.prepare import prepare
from classaware.data.preparation.target import check_names, locked
from classaware.data.sources.base import Layout, Original
from classaware.errors import InputError

Prepare = Callable[..., Manifest]


class Calls(list[tuple[int, int]]):
    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))


def _ignore(done: int, total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the data set; workers find it by the path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import tiny_source

    return tiny_source


@pytest.fixture
def originals(tiny: Any, tmp_path: Path) -> Path:
    return tiny.make_originals(tmp_path / "originals")


@pytest.fixture
def run(tiny: Any, originals: Path, tmp_path: Path) -> Prepare:
    def call(out: Path = tmp_path / "out", workers: int = 1, progress: Any = _ignore, form: str = "gray") -> Manifest:
        return prepare(tiny.Tiny(form), [originals], out, workers, progress)

    return call


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_file(run: Prepare, originals: Path, tmp_path: Path, tiny: Any) -> None:
    out, calls = tmp_path / "out", Calls()
    manifest = run(progress=calls)
    assert calls == [(i, 18) for i in range(19)]
    assert manifest == Manifest.read(out)
    assert manifest.splits == manifest.expected == {"train": 12, "val": 6}
    assert (manifest.name, manifest.form, manifest.palette) == ("tiny", "gray", tiny.Tiny.palette)
    assert sorted(path.name for path in out.iterdir()) == [
        "classes.txt",
        "files.csv",
        "images",
        "manifest.json",
        "masks",
    ]
    rows = {(row.split, row.name): row for row in read_files(out)}
    assert list(rows) == sorted(rows)
    pictures = list((originals / "pictures").rglob("*.*"))
    assert len(pictures) == len(rows) == 18
    for path in pictures:
        row = rows[path.parent.name, path.stem]
        ending = "jpg" if path.suffix in (".jpg", ".jpeg") else "png"
        assert row.image == f"{path.stem}.{ending}"
        image = out / "images" / row.split / row.image
        mask = out / "masks" / row.split / f"{row.name}.png"
        if path.suffix != ".bmp":
            assert image.read_bytes() == path.read_bytes()
        assert np.array_equal(np.array(Image.open(image)), np.array(Image.open(path)))
        label = np.array(Image.open(originals / "gray" / row.split / f"{row.name}.png")).astype(int)
        label[label == 3] = 255
        with Image.open(mask) as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.array(picture), label)
            assert np.array_equal(
                np.array(picture.convert("RGB")), np.array([*tiny.Tiny.palette, *[(255, 255, 255)] * 253])[label]
            )
        assert mask.read_bytes()[24] == 8  # bits
        assert (row.height, row.width) == label.shape
        for file, size, digest in ((image, row.image_bytes, row.image_sha256), (mask, row.mask_bytes, row.mask_sha256)):
            assert (len(file.read_bytes()), hashlib.sha256(file.read_bytes()).hexdigest()) == (size, digest)


def test_read_as_a_folder(run: Prepare, tmp_path: Path, tiny: Any) -> None:
    run()
    dataset = FolderDataset(tmp_path / "out")
    assert (dataset.class_names, dataset.palette) == (tiny.Tiny.class_names, tiny.Tiny.palette)
    samples = [dataset.read(sample) for split in dataset.splits for sample in dataset.samples(split)]
    assert len(samples) == 18


def test_same_for_any_workers(run: Prepare, tmp_path: Path) -> None:
    calls = Calls()
    run(tmp_path / "one")
    run(tmp_path / "two", workers=2, progress=calls)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    assert calls == [(i, 18) for i in range(19)]


def test_again_does_nothing(run: Prepare, tmp_path: Path) -> None:
    manifest = run()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    calls = Calls()
    assert run(progress=calls) == manifest
    assert calls == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times


KILLED = """
import signal
import sys
from pathlib import Path
from classaware.data.preparation.prepare import prepare
import tiny_source
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which what runs in the background has switched off
    prepare(tiny_source.Tiny(), [Path(sys.argv[1])], Path(sys.argv[2]), int(sys.argv[3]), lambda done, total: None)
"""


def start(tmp_path: Path, originals: Path, workers: int) -> "subprocess.Popen[str]":
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    import classaware

    folders = [str(Path(classaware.__file__).parents[1]), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "TINY_SECONDS": "0.1"}
    command = [sys.executable, str(script), str(originals), str(tmp_path / "out"), str(workers)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_images(out: Path, process: "subprocess.Popen[str]") -> None:
    for _ in range(2400):
        if len(list(out.glob("images/*/*"))) >= 3:
            return
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    raise AssertionError("nothing was prepared")


@pytest.mark.parametrize(("workers", "blow"), [(1, signal.SIGKILL), (2, signal.SIGKILL), (2, signal.SIGINT)])
def test_broken_off_and_resumed(
    workers: int, blow: signal.Signals, run: Prepare, originals: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(tmp_path, originals, workers)
    wait_for_images(out, process)
    if blow == signal.SIGINT:
        os.killpg(process.pid, blow)  # as a terminal does: to the workers too
    else:
        process.send_signal(blow)
    _, errors = process.communicate(timeout=120)  # which needs all to end that write to the error stream: the workers
    assert process.returncode != 0
    left = {path: content for path, content in snapshot(out).items() if not path.endswith(".part")}
    assert ".preparing.json" in left
    assert "manifest.json" not in left
    if blow == signal.SIGINT:
        assert errors.endswith("KeyboardInterrupt\n")
        assert errors.count("Traceback") == 1
        assert left == snapshot(out)
    manifest = run()
    assert 3 <= sum(path.startswith("images") for path in left) < 18
    run(tmp_path / "straight")
    whole = snapshot(out)
    assert whole == snapshot(tmp_path / "straight")
    assert {path: whole[path] for path in left if path.startswith(("images", "masks"))}.items() <= left.items()
    assert manifest == Manifest.read(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_originals_do_not_waste_the_rest(workers: int, run: Prepare, originals: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bad = {"pictures/train/i0.jpg": "cannot be read as an image", "gray/val/i3.png": "holds the value 7"}
    kept = {name: (originals / name).read_bytes() for name in bad}
    (originals / "pictures/train/i0.jpg").write_bytes(kept["pictures/train/i0.jpg"][:-40])
    Image.fromarray(np.full((10, 17), 7, np.uint8)).save(originals / "gray/val/i3.png")
    (originals / "gray/val/i4.png").rename(tmp_path / "i4.png")
    calls = Calls()
    with pytest.raises(InputError) as error:
        run(workers=workers, progress=calls)
    message = str(error.value)
    assert message.startswith("3 of 18 images cannot be prepared: train/i0: ")
    for part in (
        "originals/pictures/train/i0.jpg cannot be read",
        "val/i3: ",
        "the value 7",
        "i4 has no label",
        "again",
    ):
        assert part in message
    assert calls[-1] == (18, 18)
    assert len(list(out.glob("images/*/*"))) == len(list(out.glob("masks/*/*"))) == 15
    assert Manifest.read(out) is None
    assert not list(out.rglob("*.part"))
    for name, content in kept.items():
        (originals / name).write_bytes(content)
    (tmp_path / "i4.png").rename(originals / "gray/val/i4.png")
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*")}
    run(workers=workers)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    run(tmp_path / "straight")
    assert snapshot(out) == snapshot(tmp_path / "straight")


def test_a_worker_that_is_killed(run: Prepare, originals: Path, tmp_path: Path) -> None:
    for kind in ("pictures", "gray"):
        shutil.copy(originals / kind / "train/i1.png", originals / kind / "train/deadly.png")
    with pytest.raises(InputError, match=r"a worker process was ended from outside.*again with fewer workers"):
        run(workers=2)
    for kind in ("pictures", "gray"):
        (originals / kind / "train/deadly.png").unlink()
    run(workers=2)
    run(tmp_path / "straight")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "straight")


def test_errors_are_capped(run: Prepare, originals: Path) -> None:
    for i in range(12, 40):
        (originals / f"pictures/train/x{i}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"^28 of 46 images") as error:
        run()
    assert str(error.value).count("pictures/train/x") == 20


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda out: (out / "images/train/i0.jpg").unlink(),
        lambda out: (out / "masks/train/i0.png").unlink(),
        lambda out: (out / "files.csv").unlink(),
        lambda out: (out / "files.csv").write_bytes(b"split"),
        lambda out: (out / "images/train/i1.png").write_bytes(b"half"),
        lambda out: (out / "masks/val/i2.png").write_bytes((out / "masks/val/i3.png").read_bytes()),
        lambda out: Image.new("L", (14, 10)).save(out / "masks/train/i0.png"),
        lambda out: shutil.copy(out / "images/train/i1.png", out / "images/train/i0.png"),
        lambda out: shutil.rmtree(out / "masks"),
    ],
)
def test_what_was_spoiled_is_made_again(spoil: Callable[[Path], None], run: Prepare, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run()
    before = snapshot(out)
    spoil(out)
    assert snapshot(out) != before
    (out / "manifest.json").unlink()
    (out / ".preparing.json").write_text(json.dumps(_identity(before)))
    run()
    assert snapshot(out) == before


def _identity(files: dict[str, bytes]) -> dict[str, Any]:
    keys = ("format", "name", "form", "class_names", "palette", "ignore_index")
    manifest = json.loads(files["manifest.json"])
    return {key: manifest[key] for key in keys}


@pytest.mark.parametrize("path", ["images/train/i0.jpg", "masks/val/i2.png", "files.csv"])
def test_complete_folder_that_lost_a_file(path: str, run: Prepare, tmp_path: Path) -> None:
    run()
    before = snapshot(tmp_path / "out")
    (tmp_path / "out" / path).unlink()
    run()
    assert snapshot(tmp_path / "out") == before


def test_new_originals_are_added(run: Prepare, originals: Path, tmp_path: Path) -> None:
    run()
    for kind in ("pictures", "gray"):
        shutil.copy(originals / kind / "train/i1.png", originals / kind / "train/new.png")
    assert run().splits == {"train": 13, "val": 6}
    assert run().differences() == ["train has 13 images, published are 12"]
    assert (tmp_path / "out/images/train/new.png").is_file()


@pytest.mark.parametrize(
    "stray", ["images/train/x.jpg", "masks/val/x.png", "images/more/i0.jpg", "images/train/i0.bmp"]
)
def test_files_of_others_are_refused(stray: str, run: Prepare, tmp_path: Path) -> None:
    run()
    (tmp_path / "out" / stray).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / stray).write_bytes(b"")
    named = stray if "more" not in stray else "images/more"
    with pytest.raises(InputError, match=rf"out/{named} is none of the images"):
        run()


@pytest.mark.parametrize("finished", [True, False])
def test_other_data_in_the_folder(
    finished: bool, run: Prepare, tiny: Any, monkeypatch: pytest.MonkeyPatch, originals: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if finished:
        run()
    else:
        (originals / "pictures/train/bad.png").write_bytes(b"")
        with pytest.raises(InputError, match="1 of 19"):
            run()
    before = snapshot(out)
    with pytest.raises(InputError, match=r"out holds tiny \(gray\), which differs in form .*tiny \(color\)"):
        run(form="color")
    monkeypatch.setattr(tiny.Tiny, "palette", ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
    with pytest.raises(InputError, match="differs in palette from"):
        run()
    monkeypatch.setattr(tiny.Tiny, "name", "other")
    with pytest.raises(InputError, match="differs in name, palette from"):
        run()
    assert snapshot(out) == before


def test_places_that_are_no_place(run: Prepare, originals: Path, tmp_path: Path) -> None:
    for out in (originals / "out", originals, tmp_path):
        with pytest.raises(InputError, match="lie in each other"):
            run(out)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        run(tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"full holds thesis\.tex.*empty folder"):
        run(tmp_path / "full")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.preparing.json").write_text("{")
    with pytest.raises(InputError, match=r"\.preparing\.json cannot be read .*remove the folder"):
        run()
    with pytest.raises(InputError, match="workers=-1"):
        run(workers=-1)


def test_no_room(run: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(InputError, match=r"out needs about 0\.0 GB"):
        run()
    assert not (tmp_path / "out").exists()


def test_no_originals(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no image of Tiny was found.*'classaware data prepare tiny' says what"):
        prepare(tiny.Tiny(), [tmp_path / "empty"], tmp_path / "out", 1, _ignore)
    with pytest.raises(InputError, match="no source is given"):
        prepare(tiny.Tiny(), [], tmp_path / "out", 1, _ignore)


def test_compressed_tar_leaves_nothing_behind(run: Prepare, originals: Path, tiny: Any, tmp_path: Path) -> None:
    run(tmp_path / "straight")
    archive = shutil.make_archive(str(tmp_path / "tiny"), "gztar", originals)
    manifest = prepare(tiny.Tiny(), [Path(archive)], tmp_path / "out", 1, _ignore)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "straight")
    assert manifest == Manifest.read(tmp_path / "straight")
    assert not (tmp_path / "out/.archives").exists()


def original(split: str, name: str, path: str = "") -> Original:
    return Original(split, name, Entry(path or f"{split}/{name}.jpg", Path("x.zip"), "x", 1), None)


UNSAFE = ["", ".", "..", ".x", "a/b", "a\\b", "a\0b", "a\nb", "C:x", "x.", "x ", " x", "a" * 201, "ü" * 101, "con"]


@pytest.mark.parametrize("name", [*UNSAFE, "NUL.a", "\udcff", "a?", "*", "\x1b[31m"])
def test_unsafe_names(name: str) -> None:
    for bad in (original("train", name, "p.jpg"), original(name, "x", "p.jpg")):
        with pytest.raises(InputError, match=r"of p\.jpg is no name for a file") as error:
            check_names([bad])
        assert repr(name) in str(error.value)


def test_usual_names_are_safe() -> None:
    names = ["2007_000027", "a b", "COCO_train2014_000000000077", "x.y-z", "0", "größe", "a" * 200, "console"]
    check_names([original(split, name) for split in ("train", "val") for name in names])


@pytest.mark.parametrize("twin", ["i0", "I0", "ı0"])
def test_colliding_names(twin: str) -> None:
    pair = [original("train", "i0", "a.jpg"), original("train", twin, "b.jpg")]
    if twin == "ı0":
        check_names(pair)
    else:
        with pytest.raises(InputError, match=r"a\.jpg and b\.jpg would both be train/"):
            check_names(pair)
    check_names([original("train", "i0"), original("val", twin)])


def test_colliding_accents_and_splits() -> None:
    with pytest.raises(InputError, match="would both be"):
        check_names([original("train", "\u00fc"), original("train", "u\u0308")])
    with pytest.raises(InputError, match="the splits 'train' and 'Train' would be one folder"):
        check_names([original("train", "a"), original("Train", "b")])


def test_one_name_twice(run: Prepare, originals: Path) -> None:
    Image.new("RGB", (14, 10)).save(originals / "pictures/train/i0.png")
    with pytest.raises(InputError, match=r"i0\.jpg and originals/pictures/train/i0\.png would both be train/i0"):
        run()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, color: int, rows: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (10, 14, 3), dtype=np.uint8))
FORMS = {
    "gray.jpg": (encoded(PICTURE.convert("L"), "JPEG"), True),
    "gray.png": (encoded(PICTURE.convert("L"), "PNG"), True),
    "jpeg named.png": (encoded(PICTURE, "JPEG"), True),
    "cmyk.jpg": (encoded(PICTURE.convert("CMYK"), "JPEG"), False),
    "palette.png": (encoded(PICTURE.convert("P"), "PNG"), False),
    "alpha.png": (encoded(PICTURE.convert("RGBA"), "PNG"), False),
    "bilevel.png": (encoded(PICTURE.convert("1"), "PNG"), False),
    "two bits.png": (png(14, 10, 2, 0, bytes([0, 0x1B, 0x1B, 0x1B, 0x1B] * 10)), False),
    "48 bits.png": (png(14, 10, 16, 2, bytes([0, *[200] * 84] * 10)), False),
    "lossless.webp": (encoded(PICTURE, "WEBP", lossless=True), False),
    "x.tif": (encoded(PICTURE, "TIFF"), False),
    "x.gif": (encoded(PICTURE, "GIF"), False),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_images(name: str, tiny: Any, tmp_path: Path) -> None:
    content, kept = FORMS[name]
    source = tiny.make_originals(tmp_path / "o", 1, 0)
    (source / "pictures/train/i0.jpg").unlink()
    (source / "pictures/train" / f"i0{Path(name).suffix}").write_bytes(content)
    prepare(tiny.Tiny(), [source], tmp_path / "out", 1, _ignore)
    (image,) = (tmp_path / "out/images/train").iterdir()
    with Image.open(BytesIO(content)) as before, Image.open(image) as after:
        assert image.suffix == (".jpg" if before.format == "JPEG" and kept else ".png")
        assert after.mode == ("L" if before.mode in ("L", "1") else "RGB")
        assert np.array_equal(np.array(after.convert("RGB")), np.array(before.convert("RGB")))
        assert (image.read_bytes() == content) == kept
        if not kept:
            assert image.read_bytes()[24] == 8  # bits
    shutil.rmtree(tmp_path / "out/masks")
    before_files = snapshot(tmp_path / "out/images")
    prepare(tiny.Tiny(), [source], tmp_path / "out", 1, _ignore)
    assert snapshot(tmp_path / "out/images") == before_files


BAD = {
    "bomb.png": (png(60_000, 60_000, 8, 0, bytes(1000)), "more than 89478485 pixels"),
    "large.png": (png(10_000, 9_000, 1, 0, bytes(1000)), "more than 89478485 pixels"),
    "truncated.png": (encoded(PICTURE, "PNG")[:-60], "cannot be read as an image"),
    "truncated.jpg": (encoded(PICTURE, "JPEG")[:-60], "cannot be read as an image"),
    "16 bits.png": (encoded(Image.fromarray(np.full((10, 14), 999, np.uint16)), "PNG"), "16 or 32 bits"),
    "float.tif": (encoded(Image.fromarray(np.full((10, 14), 0.5, np.float32)), "TIFF"), "16 or 32 bits"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 14 10\nshowpage\n", "of no known kind"),
    "page.jpg": (b"<html>", "of no known kind"),
    "other size.png": (encoded(PICTURE.resize((10, 14)), "PNG"), r"is 14x10 \(height x width\) but its label 10x14"),
    "text.png": (
        encoded(PICTURE, "PNG")[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7))),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_images_that_are_refused(name: str, tiny: Any, tmp_path: Path) -> None:
    content, problem = BAD[name]
    source = tiny.make_originals(tmp_path / "o", 2, 0)
    (source / "pictures/train/i0.jpg").unlink()
    (source / "pictures/train" / f"i0{Path(name).suffix}").write_bytes(content)
    with pytest.raises(InputError, match=rf"1 of 2 .*train/i0\..*{problem}.*(replace|convert|restore)"):
        prepare(tiny.Tiny(), [source], tmp_path / "out", 1, _ignore)
    assert [path.name for path in (tmp_path / "out").glob("*/*/*")] == ["i1.png", "i1.png"]


def test_one_in_an_archive_is_named_with_it(tiny: Any, originals: Path, tmp_path: Path) -> None:
    (originals / "pictures/train/i0.jpg").write_bytes(b"<html>")
    archive = Path(shutil.make_archive(str(tmp_path / "tiny"), "zip", originals))
    with pytest.raises(InputError, match=r"train/i0: pictures/train/i0\.jpg \(in .*tiny\.zip\) cannot be read"):
        prepare(tiny.Tiny(), [archive], tmp_path / "out", 1, _ignore)


def test_classes_of_the_layout_come_first(
    tiny: Any, originals: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = tiny.Tiny.find
    names = ("a", "b", "c", "d")

    def with_classes(self: Any, tree: Any) -> Layout:
        return find(self, tree)._replace(class_names=names, palette=((9, 9, 9),) * 4, expected={"train": 1})

    monkeypatch.setattr(tiny.Tiny, "find", with_classes)
    manifest = prepare(tiny.Tiny(), [originals], tmp_path / "out", 1, _ignore)
    assert (manifest.class_names, manifest.palette, manifest.expected) == (names, ((9, 9, 9),) * 4, {"train": 1})
    assert (tmp_path / "out/classes.txt").read_text() == "a\nb\nc\nd\n"
    monkeypatch.setattr(tiny.Tiny, "find", lambda self, tree: find(self, tree)._replace(class_names=("a",) * 256))
    with pytest.raises(InputError, match="256 classes"):
        prepare(tiny.Tiny(), [originals], tmp_path / "out2", 1, _ignore)


def test_a_place_that_cannot_be_written_stops_at_once(
    tiny: Any, originals: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(self: Path, content: bytes) -> int:
        if "masks" in str(self):
            raise OSError(28, "No space left on device")
        return write_bytes(self, content)

    write_bytes = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    calls = Calls()
    with pytest.raises(InputError, match=r"cannot write .*masks.*No space left"):
        prepare(tiny.Tiny(), [originals], tmp_path / "out", 1, calls)
    assert calls == [(0, 18)]


def test_row_is_of_the_manifest(run: Prepare, tmp_path: Path) -> None:
    manifest = run()
    replace(manifest, files_sha256="0" * 64).write(tmp_path / "out")
    with pytest.raises(InputError, match="was changed"):
        read_files(tmp_path / "out")
    assert run() == manifest


def test_an_original_that_changed_is_made_anew(run: Prepare, originals: Path, tmp_path: Path) -> None:
    run()
    picture = next(path for path in sorted((originals / "pictures/train").iterdir()) if path.suffix == ".png")
    pixels = np.asarray(Image.open(picture))
    Image.fromarray(255 - pixels).save(picture)
    manifest = run()
    assert manifest == Manifest.read(tmp_path / "out")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/images/train" / picture.name)), 255 - pixels)


def test_two_at_once(run: Prepare, tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(InputError, match="out is being prepared by another process"):
        run()
    run()
