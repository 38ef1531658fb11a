"""A folder with small stand-ins, made once, and a fresh copy of it as the current folder."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pages.py, workshop.py


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import workshop

    root = tmp_path_factory.mktemp("workshop")
    workshop.build(root)
    return root


@pytest.fixture
def bench(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-ins in a folder of one's own, to which one has changed."""
    root = tmp_path / "bench"
    shutil.copytree(stand_ins, root, copy_function=os.link, symlinks=True)
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    return root
