"""Tiny data sets in their published layouts."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from classaware.data.preparation.archives import Tree
from classaware.data.sources import Layout, Source

Files = dict[str, Any]  # content by path: text, bytes, pixels, variables of a .mat file, or a JSON object
PHOTO = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def content(path: str, value: Any) -> bytes:
    """The bytes of a file: pictures by their ending, dicts as .mat or .json."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    file = io.BytesIO()
    if path.endswith(".mat"):
        scipy.io.savemat(file, value, do_compression=True)
    elif path.endswith(".json"):
        file.write(json.dumps(value).encode())
    else:
        picture = value if isinstance(value, Image.Image) else Image.fromarray(np.asarray(value))
        picture.save(file, {"jpg": "JPEG", "bmp": "BMP", "png": "PNG"}[path.rpartition(".")[2]])
    return file.getvalue()


def pack(archive: Path, files: Files) -> None:
    """A zip, tar or tgz."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for path, value in files.items():
                opened.writestr(path, content(path, value))
        return
    with tarfile.open(archive, "w:gz" if archive.suffix == ".tgz" or archive.suffix == ".gz" else "w") as opened:
        for path, value in files.items():
            data = content(path, value)
            info = tarfile.TarInfo(path)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))


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
