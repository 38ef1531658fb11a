"""The benchmark of class-dependency maps runs from the command line, and memory does not grow with the images."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "dependency.py"


def test_memory_is_flat(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--quick", "--threads=1", f"--json={tmp_path / 'rows.json'}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "rows.json").read_text())
    assert (content["classes"], content["channels"], content["side"], content["threads"]) == (171, 512, 65, 1)
    few, many = content["rows"]
    assert many["images"] == 2 * few["images"]
    assert many["seconds"] > few["seconds"] > 0
    assert 0 <= many["peak"] - few["peak"] <= content["allowed"]
    kept = (many["images"] - few["images"]) * 512 * 65 * 65 * 4  # bytes, had the features been kept
    assert content["allowed"] < kept / 4
    assert content["before"] < few["peak"] <= many["peak"] <= content["summary_peak"]
    assert "jackknife intervals" in done.stdout
