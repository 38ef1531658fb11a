"""The files of a run: a log that can be cut and continued, checkpoints that are there whole."""

import csv
import errno
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from classaware.errors import InputError
from classaware.training.alone import alone
from classaware.training.card import read_checkpoint
from classaware.training.resume import _changes, find_start
from classaware.training.run_log import RunLog
from classaware.training.saving import DurableCheckpointIO, clear_leftovers, next_path, promote, replacing

Rows = list[dict[str, float]]

values = st.floats(allow_nan=False, width=32)
rows = st.lists(st.dictionaries(st.sampled_from(["loss", "train/ce", "val/miou"]), values, min_size=1), max_size=8)


def write(path: Path, logged: Rows, log: RunLog | None = None, first: int = 0) -> bytes:
    log = log or RunLog(path)
    for step, row in enumerate(logged, first):
        log.log_metrics(row, step)
    log.sync()
    return path.read_bytes() if path.exists() else b""


@given(logged=rows, data=st.data())
def test_a_log_that_was_cut_and_continued_reads_as_one_piece(
    logged: Rows, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    whole = write(folder / "whole.csv", logged)
    at = data.draw(st.integers(0, len(logged)))
    killed = data.draw(st.integers(at, len(logged)))
    path = folder / "killed.csv"
    write(path, logged[:killed])
    if path.exists():
        path.write_bytes(path.read_bytes() + data.draw(st.sampled_from([b"", b"0.5,1", b"\xff\xfe"])))
    log = RunLog(path, keep=True)
    log.cut(at)
    assert path.exists() == bool(killed)
    if at:
        assert path.read_bytes() == write(folder / "until.csv", logged[:at])
    assert write(path, logged[at:], log, at) == whole or not logged[at:]
    assert log.rows == len(logged)


def test_a_log_is_readable_and_holds_numbers_exactly(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "metrics.csv"
    write(path, [{"loss": 0.1 + 0.2, "train/ce": 1e-30}, {"val/miou": float("nan")}])
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["loss", "step", "train/ce", "val/miou"]
    assert float(first["loss"]) == 0.1 + 0.2
    assert (first["step"], first["val/miou"], second["val/miou"], second["loss"]) == ("0", "", "nan", "")


def test_a_log_begins_anew_unless_it_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write(path, [{"loss": 1.0}, {"loss": 2.0}])
    log = RunLog(path)
    log.cut(1)
    assert write(path, [{"loss": 3.0}], log).decode().splitlines() == ["loss,step", "3.0,0"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with replacing(path) as temporary:
        temporary.write_bytes(b"first")
        assert not path.exists()
    with pytest.raises(FileNotFoundError), replacing(path) as temporary:
        temporary.write_bytes((path.parent / "not there").read_bytes() if temporary.write_bytes(b"half") else b"")
    assert [(p.name, p.read_bytes()) for p in path.parent.iterdir()] == [("file", b"first")]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    synced, replaced = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        order.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        synced(descriptor)

    def replace(self: Path, target: Path) -> Path:
        order.append(f"rename {self.name} {target.name}")
        return replaced(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    DurableCheckpointIO().save_checkpoint({"a": torch.ones(3)}, tmp_path / "next.ckpt")
    folder = f"sync {tmp_path.name}"
    assert order == ["sync .next.ckpt.part", "rename .next.ckpt.part next.ckpt", folder]
    (tmp_path / "last.ckpt").write_bytes(b"old")
    order.clear()
    promote(tmp_path, keep_last=True)
    assert order == ["rename last.ckpt previous.ckpt", folder, "rename next.ckpt last.ckpt", folder]


def test_a_checkpoint_that_the_disk_has_no_room_for(tmp_path: Path) -> None:
    """A limit on the length of files stands for a full disk: the write itself fails, inside torch's writer."""
    path = tmp_path / "next.ckpt"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            DurableCheckpointIO().save_checkpoint({"a": torch.ones(1 << 20)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("next.ckpt", b"old")]


_HOLD = """
import os, sys
from pathlib import Path
from classaware.training.alone import alone
with alone(Path(sys.argv[1])):
    if not os.fork():  # as a process that reads images: it outlives a killed run
        sys.stdin.read()
        os._exit(0)
    os.write(1, b"held\\n")
    sys.stdin.read()
"""


def test_a_folder_is_one_processs_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "run"
    command = [sys.executable, "-c", _HOLD, str(output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"another process trains in {output}: wait for it"), alone(output):
            pass
        with monkeypatch.context() as patch, alone(tmp_path / "other"):
            patch.setattr("pytorch_lightning.utilities.rank_zero_only.rank", 1, raising=False)
            with alone(output):  # the first process of its run asks
                pass
        process.kill()
        process.wait()
        with alone(output):  # the forked process still reads
            pass


def test_what_may_change_on_the_way() -> None:
    def card(lr: float = 0.1, root: str = "/a", dataset: str = "Folder", steps: int = 4, **more: Any) -> dict[str, Any]:
        data = {"dataset": {"class_path": dataset, "init_args": {"root": root}}, "num_workers": steps}
        options = {"data": data, "training": {"lr": lr}, "trainer": {"max_steps": steps}}
        return {"seed": 0, "processes": 2, "configuration": options} | more

    assert _changes(card(), card(root="/b", steps=9)) == []
    assert _changes({}, card()) == []  # written by an older version
    assert _changes(card(), card(lr=0.2, seed=1)) == ["seed: 0 -> 1", "training.lr: 0.1 -> 0.2"]
    assert _changes(card(), card(processes=1)) == ["processes: 2 -> 1"]
    assert _changes(card(), card(dataset="Scenes")) == ["data.dataset: Folder -> Scenes"]


def test_leftovers_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    stay = ["last.ckpt", "previous.ckpt", "best.ckpt", "config.yaml"]
    for name in [*stay, ".next.ckpt.part", ".config.yaml.0a1b.part", "next.ckpt"]:
        (tmp_path / name).write_bytes(b"x")
    assert next_path(tmp_path).exists()
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


def checkpoint(path: Path, **changes: Any) -> Path:
    loops = {"fit_loop": {"epoch_loop.state_dict": {"owes_validation": True}}}
    content = {"classaware": {}, "state_dict": {"w": torch.arange(300.0)}, "optimizer_states": [], "lr_schedulers": []}
    content |= {"loops": loops, "global_step": 7, "pytorch-lightning_version": "2.6"}
    path.parent.mkdir(exist_ok=True)
    torch.save(content | changes, path)
    return path


def test_every_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "last.ckpt")
    content = path.read_bytes()
    begin = content.find(torch.arange(300.0).numpy().tobytes())
    assert begin > 0
    for place in range(begin, begin + 1200, 37):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        torch.load(path, weights_only=True)
        with pytest.raises(InputError, match="cannot be read"):
            read_checkpoint(path)
    path.write_bytes(content)
    assert read_checkpoint(path)["global_step"] == 7


def test_a_checkpoint_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "last.ckpt")
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged, cut short, or no checkpoint"):
            read_checkpoint(path)


def test_where_a_run_begins(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert find_start(run, None, True).checkpoint is None
    other = checkpoint(tmp_path / "other" / "best.ckpt")
    start = find_start(run, other, True)
    assert (start.checkpoint, start.step, start.in_place) == (other, 7, False)
    previous = checkpoint(run / "previous.ckpt", global_step=5)
    start = find_start(run, other, True)
    assert (start.checkpoint, start.step, start.in_place, start.from_last) == (previous, 5, True, False)
    last = checkpoint(run / "last.ckpt")
    start = find_start(run, other, True)
    assert (start.checkpoint, start.owes_validation, start.from_last, start.note) == (last, True, True, "")
    assert (start.is_end(7), start.is_end(8)) == (False, False)
    with zipfile.ZipFile(last, "a") as archive:
        archive.writestr("more", b"harmless")
    with pytest.raises(InputError, match="--resume true"):
        find_start(run, None, False)
    with pytest.raises(InputError, match="holds another run"):
        find_start(run, other, False)


def test_where_both_are_damaged_a_whole_best_one_is_named(tmp_path: Path) -> None:
    run = tmp_path / "a: b"
    last, previous, best = (checkpoint(run / f"{name}.ckpt") for name in ("last", "previous", "best"))
    last.write_bytes(b"")
    note = find_start(run, None, True).note
    assert note.startswith(f"checkpoint {last} cannot be read (")
    assert note.endswith(f"). Going on from {previous}.")
    previous.write_bytes(b"")
    with pytest.raises(InputError, match=f"Resume with --ckpt_path {best}, or"):
        find_start(run, None, True)
    assert find_start(run, best, True).checkpoint == best
    best.write_bytes(b"")
    with pytest.raises(InputError, match="from another one with --ckpt_path"):
        find_start(run, None, True)


def test_a_relative_path_to_the_runs_own_checkpoint_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    last = checkpoint(tmp_path / "run" / "last.ckpt")
    assert find_start(Path("run"), last, False).in_place
    assert find_start(tmp_path / "run", Path("run/last.ckpt"), False).from_last
