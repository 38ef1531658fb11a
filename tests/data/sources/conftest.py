"""Tiny data sets in their published layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_files import Files, content, pack

from classaware.data.preparation.archives import Tree
from classaware.data.sources import Layout, Source

PHOTO = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


@pytest.fixture
def lay(tmp_path: Path) -> Callable[..., Tree]:
    """Files as a folder, and archives (their files as a dict) in it; opened as a tree."""

    def build(files: Files | None = None, **archives: Files) -> Tree:
        root = tmp_path / "downloads"
        root.mkdir(exist_ok=True)
        for path, value in (files or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content(path, value))
        for name, inside in archives.items():
            pack(root / name.replace("__", "."), inside)
        return Tree.open([root], tmp_path / "cache")

    return build


@pytest.fixture
def photo() -> np.ndarray:
    return PHOTO


@pytest.fixture
def read() -> Callable[[Source, Layout], dict[tuple[str, str], list[list[int]]]]:
    """Classes of every image of a layout, by split and name."""

    def labels(source: Source, layout: Layout) -> dict[tuple[str, str], list[list[int]]]:
        return {(one.split, one.name): source.label(one).tolist() for one in layout.originals}

    return labels
