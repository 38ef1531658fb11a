"""Files in the published forms of data sets, made from values."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

Files = dict[str, Any]  # content by path: text, bytes, pixels, variables of a .mat file, or a JSON object


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
