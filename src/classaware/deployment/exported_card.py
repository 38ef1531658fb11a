"""What an exported file says of itself: JSON that people and other programs can read."""

import json
from pathlib import Path
from typing import Any

from classaware.deployment.comparing import Comparison
from classaware.deployment.tracing import INPUT, OUTPUT, SMALLEST_SIDE
from classaware.errors import InputError
from classaware.models import Segmenter
from classaware.provenance import versions
from classaware.training.card import NetworkCard
from classaware.training.folder import portable

FORMAT = "classaware-exported"
VERSION = 1


def describe(
    network: Segmenter,
    card: NetworkCard,
    source: dict[str, Any],
    size: tuple[int, int] | None,
    full_size: bool,
    compared: list[Comparison],
) -> dict[str, Any]:
    """Plain values; places on this machine that the card names are reduced to their last part.

    Args:
        network: where the normalization is.
        card: of the checkpoint.
        source: "sha256" and "step" of the checkpoint, "metrics": what it was measured to reach, or None.
        size: (height, width) that it is exported for, or None for any.
        full_size: whether logits come at the images' size.
        compared: how it differs from the network that was trained.
    """
    sides = [[SMALLEST_SIDE, None]] * 2 if size is None else [[side, side] for side in size]
    return {
        "format": FORMAT,
        "version": VERSION,
        "card": portable(card.to_dict()),
        "input": {"name": INPUT, "type": "float32", "shape": ["batch", 3, "height", "width"], "color": "RGB"}
        | {"range": [0, 1]},
        "output": {"name": OUTPUT, "type": "float32", "at": "image size" if full_size else "feature size"},
        "normalization": {
            "mean": network.backbone.mean.flatten().tolist(),
            "std": network.backbone.std.flatten().tolist(),
            "where": "inside the file",
        },
        "sizes": {"batch": [1, None], "height": sides[0], "width": sides[1]},
        "metrics": source["metrics"],
        "step": source["step"],
        "checkpoint_sha256": source["sha256"],
        "compared": [each.to_dict() for each in compared],
        "largest_difference": max((each.difference for each in compared), default=None),
        "versions": versions(),
    }


def read_description(path: Path, written: str) -> tuple[dict[str, Any], NetworkCard]:
    """The description and the card in it.

    Raises:
        InputError: it is none, or of another version.
    """
    try:
        content = json.loads(written)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("it is of another format")
        if content.get("version") != VERSION:
            raise InputError(
                f"{path} has version {content.get('version')!r} of the format, this classaware reads {VERSION}: use "
                "the version of classaware that wrote it."
            )
        card = NetworkCard(**content["card"])
        sizes = content["sizes"]
        if not all(isinstance(side, int | None) for name in ("height", "width") for side in sizes[name]):
            raise ValueError("it does not say which sizes it takes")
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path} does not say what its network is ({type(error).__name__}: {error}): it was changed. Export it "
            "again."
        ) from error
    return content, card
