"""Networks in files of other formats, which run without the code that made them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from classaware.deployment import onnx_format, program_format
from classaware.deployment.exported_card import read_description
from classaware.errors import InputError
from classaware.models import SegmenterOutput
from classaware.provenance import versions
from classaware.training.card import NetworkCard

FORMATS = {".onnx": onnx_format, ".pt2": program_format}


def is_exported(path: Path) -> bool:
    """Whether the file is an exported network, by the end of its name."""
    return path.suffix.lower() in FORMATS


class ExportedNetwork(nn.Module):
    """An exported network that can be measured and looked at as a folded `Segmenter`.

    It computes where the images are, and has no parameters: there is nothing to move or to train.

    Args:
        run: images (B, 3, H, W) to logits.
        description: what the file says of itself.

    Attributes:
        num_classes: K.
        description: as given.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], description: dict[str, Any]) -> None:
        super().__init__()
        self._run = run
        self.description = description
        self.num_classes = len(description["card"]["class_names"])

    def forward(self, images: Tensor) -> SegmenterOutput:
        """Logits (B, K, H, W), or (B, K, h, w) if it was exported so; no taps.

        Raises:
            InputError: images that are not floating (B, 3, H, W), or of a size that the file is not for.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise InputError(
                f"images must be floating (B, 3, H, W) in [0, 1], got {images.dtype} of shape {tuple(images.shape)}."
            )
        _check_size(self.description["sizes"], images.shape[-2], images.shape[-1])
        try:
            logits = self._run(images.float())
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of two runtimes, each with errors of its own
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise InputError(
                f"the exported network failed on images of shape {tuple(images.shape)} ({type(error).__name__}: "
                f"{reason}): give a window, or a smaller one, if it was memory; else export it again."
            ) from error
        return SegmenterOutput(logits, ())

    def fold(self) -> "ExportedNetwork":
        """Itself: what is exported is folded."""
        return self


def _check_size(sizes: dict[str, list[int | None]], height: int, width: int) -> None:
    for name, side in (("height", height), ("width", width)):
        least, most = sizes[name]
        if least is not None and least == most and side != least:
            size = f"{sizes['height'][0]} x {sizes['width'][0]}"
            raise InputError(
                f"images of {height} x {width}: the network was exported for {size} alone. Give this as the window, "
                "or as the image_size, or export it again for any size."
            )
        if least is not None and side < least:
            raise InputError(
                f"images of {height} x {width}: the exported network takes a {name} of at least {least}. Give pad_size."
            )


def load_exported(path: Path) -> tuple[ExportedNetwork, NetworkCard]:
    """The network of a file that ``classaware export`` wrote, and its card.

    A .pt2 file can hold code: open those of people you trust.

    Raises:
        InputError: the file is missing, damaged, or was not written by ``classaware export``; a package is missing.
    """
    if not is_exported(path):
        raise InputError(f"exported file {path} must be named *{' or *'.join(FORMATS)}.")
    if not path.is_file():
        raise InputError(f"exported file {path} does not exist.")
    return open_content(path, path.read_bytes())


def open_content(path: Path, content: bytes) -> tuple[ExportedNetwork, NetworkCard]:
    """The same of a content that is not in the file yet; ``path`` tells its format, and is named in errors."""
    try:
        written, run = FORMATS[path.suffix.lower()].read(content)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes the readers raise
        raise InputError(
            f"exported file {path} cannot be read with torch {versions().get('torch')} ({type(error).__name__}): it is "
            "damaged, cut short, changed since it was exported, or of another version. Export it again."
        ) from error
    if written is None:
        raise InputError(
            f"{path} was not written by 'classaware export': it does not say what its classes are. Give it a card by "
            "exporting the checkpoint."
        )
    description, card = read_description(path, written)
    return ExportedNetwork(run, description), card
