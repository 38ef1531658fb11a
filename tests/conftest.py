"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Times are no properties of the code: the first call of a function of torch takes longer than all others.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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
