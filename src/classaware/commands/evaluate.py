"""``classaware evaluate``: scores of a checkpoint on a data set."""

from argparse import ArgumentError
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import track

from classaware.commands.configuration import plain_values
from classaware.commands.inference import add_inference_arguments, build_inference, pick_device
from classaware.commands.networks import FORM, Named, open_networks
from classaware.data import SegmentationData, SegmentationDataset
from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.evaluation.boundary import BOUNDARY_RATIO
from classaware.evaluation.description import describe
from classaware.evaluation.distributed import Processes, local_rank, processes, speaks, together
from classaware.evaluation.record import EvaluationRecord, write_csv, write_record
from classaware.evaluation.runner import Counts, evaluate
from classaware.files import check_writable
from classaware.provenance import commit, versions


class Evaluation(NamedTuple):
    """Everything that one evaluation needs."""

    named: Named
    dataset: SegmentationDataset
    arguments: dict[str, Any]  # of the data set
    split: str
    inference: Inference
    device: torch.device


def build_parser() -> ArgumentParser:
    """Checkpoint, data set, way of inference, and where the numbers go."""
    parser = ArgumentParser(
        prog="classaware evaluate",
        description="Scores of a network, predictions at the labels' own size. What is not given of inference is as "
        "in the validation of the training. 'torchrun --nproc-per-node N -m classaware evaluate ...' shares the images "
        "among N processes.",
        exit_on_error=False,
    )
    parser.add_argument("network", type=str, help=FORM)
    add_inference_arguments(parser)
    parser.add_argument(
        "--dataset", type=SegmentationDataset, default=None, help="default: the one that it was trained on"
    )
    parser.add_argument("--split", type=str, default="test", help="part of the data set")
    parser.add_argument("--boundary", type=bool, default=True, help="measure boundary IoU too")
    parser.add_argument("--batch_size", type=int, default=1, help="above 1 all images must have one size")
    parser.add_argument("--num_workers", type=int, default=2, help="processes that read images")
    parser.add_argument("--json", type=Path | None, default=None, help="file for everything that compares results")
    parser.add_argument("--csv", type=Path | None, default=None, help="file for the scores of every class")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Evaluate, print the table, write what is asked for; of several processes one speaks for all."""
    try:
        parser = build_parser()
        config = parser.parse_args(arguments)
        device = pick_device(config.device)
        with processes(device.type) as who:
            if device.type == "cuda" and who.size > 1 and device.index is None:
                device = torch.device("cuda", local_rank())
                torch.cuda.set_device(device)
            evaluation = together(lambda: _prepare(parser, config, device))
            counts = _measure(evaluation, config.batch_size, config.num_workers, config.boundary, who)
            if who.rank == 0:
                _report(_record(evaluation, counts), config)
    except (InputError, ArgumentError, OSError):
        if speaks():
            raise
        raise SystemExit(2) from None


def evaluate_network(evaluation: Evaluation, num_workers: int = 2) -> EvaluationRecord:
    """Evaluate in this process alone, as ``classaware evaluate`` does without further options.

    Raises:
        InputError: no such split, or images or labels that cannot be used.
    """
    return _record(evaluation, _measure(evaluation, 1, num_workers, True, Processes(0, 1)))


def _prepare(parser: ArgumentParser, config: Namespace, device: torch.device) -> Evaluation:
    results = [path for path in (config.json, config.csv) if path is not None]
    if len({path.resolve() for path in results}) < len(results):
        raise InputError(f"--json and --csv both name {results[0]}: give two files.")
    if speaks():  # before the work, not after it
        for path in results:
            check_writable(path)
    given = parser.instantiate(config).dataset
    (named,), dataset, arguments = open_networks(
        [config.network], given, None if given is None else config.dataset.as_dict()
    )
    inference = build_inference(config, named.card, config.network)
    return Evaluation(named, dataset, arguments, config.split, inference, device)


def _measure(evaluation: Evaluation, batch_size: int, num_workers: int, boundary: bool, who: Processes) -> Counts:
    """The counts of all processes."""
    data = SegmentationData(evaluation.dataset, eval_batch_size=batch_size, num_workers=num_workers)
    loader = together(lambda: data.eval_dataloader(evaluation.split, who.rank, who.size))
    batches = track(loader, f"evaluating {evaluation.split}", disable=who.rank > 0)
    ignore_index = evaluation.dataset.ignore_index
    network = evaluation.named.network.fold()
    return evaluate(network, batches, ignore_index, evaluation.inference, evaluation.device, boundary)


def _report(record: EvaluationRecord, config: Namespace) -> None:
    console = Console()
    console.print(record.scores.table())
    console.print(describe(record), soft_wrap=True, markup=False, highlight=False)
    for path, write in ((config.json, write_record), (config.csv, write_csv)):
        if path is not None:
            write(path, record)
            print(path)


def _record(evaluation: Evaluation, counts: Counts) -> EvaluationRecord:
    dataset, named, split = evaluation.dataset, evaluation.named, evaluation.split
    manifest = getattr(dataset, "manifest", None)
    labeled = int(counts.confusion.sum())
    scales = evaluation.inference.scales
    return EvaluationRecord(
        class_names=tuple(dataset.class_names),
        confusion=counts.confusion.numpy(),
        names=tuple(counts.per_image),
        counts=np.stack(list(counts.per_image.values())),
        data={
            "name": manifest.title if manifest else type(dataset).__name__,
            "dataset": evaluation.arguments,
            "split": split,
            "images": len(counts.per_image),
            "published_images": manifest.expected.get(split) if manifest else None,
            "num_classes": dataset.num_classes,
            "ignored_share": counts.ignored / max(counts.ignored + labeled, 1),
            "manifest": manifest.files_sha256 if manifest else None,
            "boundary_ratio": None if counts.boundary is None else BOUNDARY_RATIO,
        },
        inference=evaluation.inference.arguments
        | {"scale": "single" if len(scales) == 1 else "multi", "precision": "float32"},
        checkpoint=named.provenance,
        training=plain_values(named.training()),
        versions=versions(),
        commit=commit(),
        device=_name(evaluation.device),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        boundary=None if counts.boundary is None else counts.boundary.numpy(),
    )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
