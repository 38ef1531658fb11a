"""What it is that makes a file unreadable, in a few words."""

from pathlib import Path
from typing import Literal

from PIL import Image

from classaware.data.checking.findings import Finding
from classaware.errors import InputError

Role = Literal["image", "mask"]

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF")  # JPEG, PNG, BMP, WebP


def diagnose(split: str, path: Path, role: Role, error: Exception) -> Finding:
    """The finding for an image or mask that reading refused with ``error``.

    Reading decides what is refused and says why; here that only gets a name of its kind.
    """
    message = str(error)
    if not isinstance(error, InputError):
        message = f"{path} cannot be read as an image ({error}): it is damaged or no image."
    # What reading refuses by its own rules has no cause; what the decoder could not do has the decoder's error.
    refused = isinstance(error, InputError) and error.__cause__ is None
    kind = _refusal(path, role) if refused else _damage(path, role)
    return Finding("error", kind, split, str(path), message)


def _refusal(path: Path, role: Role) -> str:
    if role == "image":
        return "image of more than 8 bits"
    with Image.open(path) as picture:
        if picture.mode != "L":
            return "mask is a color picture"
        return "mask saved as JPEG" if picture.format == "JPEG" else "gray mask under 8 bits"


def _damage(path: Path, role: Role) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError:
        return "unreadable file"
    if not start:
        return "empty file"
    try:
        with Image.open(path):
            return f"truncated {role}"
    except Image.DecompressionBombError:
        return "too many pixels"
    except Exception:  # damaged files make decoders raise anything
        return f"truncated {role}" if start.startswith(_SIGNATURES) else "not an image"
