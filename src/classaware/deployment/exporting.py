"""From a checkpoint to a file that runs elsewhere, kept only where it computes what was trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classaware.deployment.comparing import CASES, TOLERANCE, Comparison, compare
from classaware.deployment.exported import FORMATS, is_exported, open_content
from classaware.deployment.exported_card import describe
from classaware.deployment.measured import find_metrics
from classaware.deployment.tracing import SMALLEST_SIDE, trace
from classaware.errors import InputError
from classaware.files import write_atomically
from classaware.models import Segmenter
from classaware.training.card import NetworkCard, load_network, network_sha256, trained_steps


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    size: tuple[int, int] | None = None,
    full_size: bool = True,
    metrics: Path | None = None,
) -> list[Comparison]:
    """Write the folded network of a checkpoint to an .onnx or .pt2 file, with its card inside.

    The file takes float32 "images" (B, 3, H, W) in [0, 1] and gives "logits" (B, K, H, W). Before it is written, what
    will be in it is compared with the trained network, not folded, at three sizes.

    Args:
        checkpoint: of ``classaware fit``, released weights, or a folder that ``save_pretrained`` wrote.
        output: the file; its ending is the format.
        size: (height, width) of the images that it is for; None: any, from ``SMALLEST_SIDE`` up.
        full_size: logits at the images' size; else at the features', (B, K, h, w).
        metrics: record of an evaluation of the checkpoint, whose scores go into the card.

    Returns:
        How the exported network differs from the trained one at each of the sizes.

    Raises:
        InputError: input that cannot be used, a place that cannot be written to, a network that cannot be exported,
            or an exported one that computes something else.
    """
    if not is_exported(output):
        raise InputError(f"{output} must be named *{' or *'.join(FORMATS)}.")
    if is_exported(checkpoint):
        raise InputError(f"{checkpoint} is an exported file: give the checkpoint that it was made of.")
    _check_size(size)
    network, card = load_network(checkpoint)
    measured = find_metrics(checkpoint, metrics)
    source = {"sha256": network_sha256(checkpoint), "step": trained_steps(checkpoint), "metrics": measured}
    content, compared = export_network(network, card, source, output, size, full_size)
    write_atomically(output, content)
    return compared


def export_network(
    network: Segmenter,
    card: NetworkCard,
    source: dict[str, Any],
    output: Path,
    size: tuple[int, int] | None,
    full_size: bool,
) -> tuple[bytes, list[Comparison]]:
    """The content of the file, and how it differs from ``network``; see `export_checkpoint`.

    Args:
        network: as it was trained, in eval mode, on the CPU; it stays as it is.
        card: of it.
        source: "sha256" and "step" of its checkpoint, and "metrics".
        output: the name that the file will have.
        size: see `export_checkpoint`.
        full_size: see there.
    """
    kind = FORMATS[output.suffix.lower()]
    converted = kind.convert(trace(network, size, full_size))
    draft = kind.write(converted, describe(network, card, source, size, full_size, []))
    cases = CASES if size is None else [(count, *size) for count in (1, 2, 3)]
    compared = compare(network, open_content(output, draft)[0], full_size, cases)
    check(compared)
    content = kind.write(converted, describe(network, card, source, size, full_size, compared))
    # The file itself once more: it differs from what was compared by these results alone.
    check(compare(network, open_content(output, content)[0], full_size, cases[:1]))
    return content, compared


def check(compared: Sequence[Comparison]) -> None:
    """Raise ``InputError`` if one of the comparisons is over the tolerance."""
    for each in compared:
        if not each.relative <= TOLERANCE:  # nan, too
            raise InputError(
                f"the exported network differs from the trained one by {each.difference:.3g} ({each.relative:.1e} of "
                f"the largest logit, more than {TOLERANCE:g}) on {each.images} images of {each.height} x "
                f"{each.width}: nothing was written. Try the other format, or --size."
            )


def _check_size(size: tuple[int, int] | None) -> None:
    if size is not None and min(size) < SMALLEST_SIDE:
        raise InputError(f"size={list(size)}: height and width must be at least {SMALLEST_SIDE}.")
