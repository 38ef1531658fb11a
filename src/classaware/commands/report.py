"""``classaware report``: one HTML page of one or several runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser

from classaware.commands.inference import pick_device
from classaware.commands.run_report import EXPLORER, NUMBERS, REPORT, Options, write_run_report
from classaware.data import SegmentationDataset
from classaware.errors import InputError
from classaware.training.card import BEST, LAST

Which = Literal["last", "best"]


def build_parser() -> ArgumentParser:
    """Which runs, on which images, and where the files go."""
    parser = ArgumentParser(
        prog="classaware report",
        description="What was run, what it scores and how sure that is, where classes meet that training hardly showed "
        "together, class dependency, the images that tell most, training curves: report.html, with explorer.html "
        "beside it, all numbers in report.json, and evaluations/ as 'classaware evaluate --json' writes them. An "
        "evaluation that is there, or in the run's folder, is used. Several runs are compared with the first.",
        exit_on_error=False,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of 'classaware fit'")
    parser.add_argument("--splits", type=str, nargs="+", default=["test"], help="parts of the data set")
    parser.add_argument("--names", type=str, nargs="+", default=None, help="of the runs; default: their folders'")
    parser.add_argument(
        "--dataset", type=SegmentationDataset, default=None, help="default: the one that the first was trained on"
    )
    parser.add_argument(
        "--train_split",
        type=str | None,
        default="train",
        help="whose labels say which combinations are familiar; null: leave rare combinations out",
    )
    parser.add_argument(
        "--checkpoint", type=Which | None, default=None, help="of every run; default: last, or best where there is none"
    )
    parser.add_argument("--explorer", type=bool, default=True, help="write explorer.html too")
    parser.add_argument("--images", type=int, default=6, help="number of images of each split")
    parser.add_argument("--num_workers", type=int, default=2, help="processes that read images")
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, ...; auto: cuda where there is one")
    parser.add_argument("--output", type=Path, required=True, help="folder for the files")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Write the report and print where it is."""
    parser = build_parser()
    config = parser.parse_args(arguments)
    if config.images < 0:
        raise InputError(f"--images {config.images}: must be at least 0.")
    if len(set(config.splits)) < len(config.splits):
        raise InputError("--splits names one split twice: name every split once.")
    checkpoints = [find_checkpoint(run, config.checkpoint) for run in config.runs]
    dataset = parser.instantiate(config).dataset
    options = Options(
        splits=config.splits,
        names=config.names,
        train_split=config.train_split,
        explorer=config.explorer,
        images=config.images,
        num_workers=config.num_workers,
    )
    given = None if dataset is None else config.dataset.as_dict()
    write_run_report(checkpoints, config.output, options, dataset, given, pick_device(config.device))
    for name in (REPORT, NUMBERS, *([EXPLORER] if config.explorer else [])):
        print(config.output / name)


def find_checkpoint(run: Path, which: Which | None) -> Path:
    """The checkpoint of a run's folder; a file stands for itself.

    Raises:
        InputError: there is none.
    """
    if run.is_file():
        return run
    wanted = {"last": [LAST], "best": [BEST], None: [LAST, BEST]}[which]
    found = next((run / name for name in wanted if (run / name).is_file()), None)
    if found is None:
        what = "folder" if run.is_dir() else "file or folder"
        raise InputError(f"there is no {what} {run} with {' or '.join(wanted)}: name a folder of 'classaware fit'.")
    return found
