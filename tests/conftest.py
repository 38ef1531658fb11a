"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real data sets: $CLASSAWARE_DATA, else ``shared/data`` beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("CLASSAWARE_DATA") or default)
    if not root.is_dir():
        reason = f"the data folder {root} is absent; set CLASSAWARE_DATA to the folder that holds camvid"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return root
