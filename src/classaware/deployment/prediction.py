"""From an image to the label map that is kept of it."""

import io
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.training.card import NetworkCard


def card_inference(
    card: NetworkCard | None, source: str | Path, given: Mapping[str, Any] = MappingProxyType({})
) -> Inference:
    """The way of inference with which a network was validated, but for what is given.

    Args:
        card: of the network; None: one look at the whole image.
        source: names the network in errors.
        given: arguments of `Inference` to be used instead.

    Raises:
        InputError: the card names settings that are not known here, or a bad value.
    """
    known = {} if card is None else {"image_size": card.image_size, **card.inference}
    if "window" in given:
        known.pop("stride", None)  # belongs to the other window
    unknown = sorted(set(known) - set(signature(Inference).parameters))
    if unknown:
        raise InputError(
            f"checkpoint {source} was validated with {', '.join(unknown)}, which this version of classaware "
            "does not know: use the version that wrote it."
        )
    return Inference(**(known | dict(given)))


def predict_image(
    network: Callable[[Tensor], Any], image: NDArray[np.uint8], inference: Inference, device: torch.device
) -> NDArray[np.uint16]:
    """Classes of an image at its own size.

    Args:
        network: folded and in eval mode, on ``device``.
        image: (H, W, 3).
        inference: how to look at it.
        device: where to compute.

    Returns:
        (H, W).

    Raises:
        InputError: as `Inference.predict`.
    """
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].to(device)
    labels = inference.predict(network, pixels, (image.shape[0], image.shape[1]))
    return labels[0].cpu().numpy().astype(np.uint16)


def index_png(label: NDArray[np.uint16], palette: Sequence[Sequence[int]]) -> bytes:
    """A label map (H, W) as PNG: 8 bits with the palette, or 16 bits without where there are more than 256 classes."""
    if len(palette) > 256:
        mask = Image.fromarray(label)
    else:
        mask = Image.fromarray(label.astype(np.uint8))
        mask.putpalette([channel for color in palette for channel in color])
    buffer = io.BytesIO()
    mask.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
