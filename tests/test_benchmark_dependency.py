"""The benchmark of class-dependency maps runs from the command line, and memory does not grow with the images."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "dependency.py"


def test_memory_is_flat(tmp_path: Path) -> None:
    # glibc moves the size from which it gives buffers back at once, unless it is set; what it keeps is chance.
    alone = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1048576"}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | alone
    command = [sys.executable, str(SCRIPT), "--quick", "--threads=1", f"--json={tmp_path / 'rows.json'}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "rows.json").read_text())
    assert (content["classes"], content["channels"], content["side"], content["threads"]) == (171, 512, 65, 1)
    few, many = content["rows"]
    assert many["images"] == 2 * few["images"]
    assert many["seconds"] > few["seconds"] > 0
    # An allocator may keep a buffer of one image (as float64) more or less; kept features would be ten times that.
    one = 512 * 65 * 65 * 8
    assert many["peak"] - few["peak"] < one < (many["images"] - few["images"]) * one / 2
    assert content["before"] < few["peak"] <= many["peak"] <= content["summary_peak"]
    assert "jackknife intervals" in done.stdout
