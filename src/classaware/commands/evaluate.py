"""``classaware evaluate``: scores of a checkpoint on a data set."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import track

from classaware import __version__
from classaware.commands.inference import add_inference_arguments, pick_device
from classaware.data import SegmentationData, SegmentationDataset
from classaware.errors import InputError
from classaware.evaluation import evaluate, scores
from classaware.files import write_json
from classaware.training.card import build_dataset, load_network


def build_parser() -> ArgumentParser:
    """Checkpoint, data set and where the numbers go."""
    parser = ArgumentParser(
        prog="classaware evaluate",
        description="mIoU, per-class IoU and pixel accuracy of a checkpoint, predictions at the labels' own size.",
        exit_on_error=False,
    )
    add_inference_arguments(parser)
    parser.add_argument(
        "--dataset", type=SegmentationDataset, default=None, help="default: the one that it was trained on"
    )
    parser.add_argument("--split", type=str, default="test", help="part of the data set")
    parser.add_argument("--batch_size", type=int, default=1, help="above 1 all images must have one size")
    parser.add_argument("--num_workers", type=int, default=2, help="processes that read images")
    parser.add_argument("--json", type=Path | None, default=None, help="file for the numbers")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Evaluate and print the table."""
    parser = build_parser()
    config = parser.parse_args(arguments)
    network, card = load_network(config.checkpoint)
    given = parser.instantiate(config).dataset
    dataset = build_dataset(card.dataset) if given is None else given
    if dataset.num_classes != network.num_classes:
        raise InputError(
            f"the network predicts {network.num_classes} classes, the data set has {dataset.num_classes}: "
            "evaluate on a data set with the classes of the training."
        )
    image_size = card.size(config.image_size)
    data = SegmentationData(
        dataset, eval_batch_size=config.batch_size, image_size=image_size, num_workers=config.num_workers
    )
    loader = data.eval_dataloader(config.split)
    confusion = evaluate(
        network.fold(), track(loader, f"evaluating {config.split}"), dataset.ignore_index, pick_device(config.device)
    )
    result = scores(confusion, dataset.class_names)
    Console().print(result.table())
    if config.json is not None:
        about = {
            "checkpoint": str(config.checkpoint),
            "split": config.split,
            "images": len(dataset.samples(config.split)),
            "image_size": image_size and list(image_size),
            "scale": "single, no flip",
            "classaware": __version__,
        }
        write_json(config.json, about | result.to_dict())
        print(config.json)
