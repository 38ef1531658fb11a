"""``classaware export``: a checkpoint as a file that runs without this package."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from classaware.deployment import onnx_format
from classaware.deployment.comparing import Comparison
from classaware.deployment.exported import FORMATS, is_exported
from classaware.deployment.exporting import export_checkpoint
from classaware.errors import InputError
from classaware.files import check_writable


def build_parser() -> ArgumentParser:
    """Which checkpoint, where the file goes, and what it is for."""
    parser = ArgumentParser(
        prog="classaware export",
        description="Write the folded network of a checkpoint as an ONNX (.onnx) or torch.export (.pt2) file that runs "
        "without classaware: images (B, 3, H, W), RGB in [0, 1], to logits, for any number and size of images. Its "
        "card (classes, colors, how it was trained) is inside. The file is kept only if it computes what the "
        "checkpoint computes, at three sizes.",
        exit_on_error=False,
    )
    parser.add_argument("checkpoint", type=Path, help="written by 'classaware fit' or 'weights', or a saved folder")
    parser.add_argument("output", type=Path, help=f"file to write, *{' or *'.join(FORMATS)}")
    parser.add_argument(
        "--size",
        type=tuple[int, int] | None,
        default=None,
        help="[height,width] of the images if it is to be for these alone; default: any size",
    )
    parser.add_argument(
        "--full_size",
        type=bool,
        default=True,
        help="logits at the images' size; false: at the features', which are few",
    )
    parser.add_argument(
        "--metrics",
        type=Path | None,
        default=None,
        help="record of 'classaware evaluate CHECKPOINT --json RECORD', whose scores go into the card",
    )
    parser.add_argument("--overwrite", type=bool, default=False, help="replace a file that is there")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Check what can be checked before the work, export, say how exact it is."""
    config = build_parser().parse_args(arguments)
    output = config.output
    if not is_exported(output):
        raise InputError(f"{output} must be named *{' or *'.join(FORMATS)}.")
    if output.exists() and not config.overwrite:
        raise InputError(f"{output} is there already: choose another name, or give --overwrite true.")
    if output.suffix.lower() == ".onnx":
        onnx_format.require("onnx", "onnxscript", "onnxruntime")
    check_writable(output)
    compared = export_checkpoint(config.checkpoint, output, config.size, config.full_size, config.metrics)
    Console().print(_table(compared))
    print(output)


def _table(compared: Sequence[Comparison]) -> Table:
    table = Table(title="exported against the trained network", title_justify="left")
    for name in ("images", "size", "largest difference", "of the largest logit", "other class"):
        table.add_column(name, justify="right")
    for each in compared:
        size = f"{each.height} x {each.width}"
        table.add_row(
            str(each.images), size, f"{each.difference:.1e}", f"{each.relative:.1e}", f"{100 * each.other_class:.4f} %"
        )
    return table
