"""``classaware predict``: label maps and overlays for images."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from classaware.commands.checks import path_given
from classaware.commands.inference import add_inference_arguments, build_inference, pick_device
from classaware.commands.prediction.images import name_results
from classaware.commands.prediction.results import Results, mask_path, open_results, overlay_path
from classaware.data import IMAGE_SUFFIXES, read_image
from classaware.deployment.exported import ExportedNetwork
from classaware.deployment.opening import open_network
from classaware.deployment.prediction import index_png, predict_image
from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.evaluation.formatting import plain_line
from classaware.files import write_atomically
from classaware.insight import overlay, png_bytes
from classaware.insight.legend import add_legend
from classaware.models import Segmenter
from classaware.training.card import NetworkCard, network_sha256


class Predictor(NamedTuple):
    """A network ready to predict, and what its results look like.

    Attributes:
        network: folded, in eval mode, on the device.
        card: of the network.
        inference: how an image is looked at.
        device: where that is computed.
        alpha: strength of the colors in overlays; None: no overlays.
        legend: whether overlays have one.
    """

    network: Segmenter | ExportedNetwork
    card: NetworkCard
    inference: Inference
    device: torch.device
    alpha: float | None
    legend: bool


def build_parser() -> ArgumentParser:
    """Network, images and where the results go."""
    parser = ArgumentParser(
        prog="classaware predict",
        description="Write an index mask (PNG with the class colors as palette) and an overlay for every image. "
        "What is not given of inference is as in the validation of the training. Called again with the same settings, "
        "it does what is missing.",
        exit_on_error=False,
    )
    parser.add_argument(
        "checkpoint",
        type=path_given,
        help="written by 'classaware fit', 'weights' or 'export', or a folder by save_pretrained",
    )
    add_inference_arguments(parser)
    parser.add_argument(
        "images",
        type=path_given,
        nargs="+",
        help=f"image files, folders (searched in depth for {', '.join(sorted(IMAGE_SUFFIXES))}), or patterns in quotes "
        "('photos/**/*.jpg'); photos are turned upright by their EXIF data",
    )
    parser.add_argument(
        "--output",
        type=path_given,
        required=True,
        help="folder for masks/, overlays/ and predictions.json, their settings",
    )
    parser.add_argument("--overlays", type=bool, default=True, help="write overlays too")
    parser.add_argument("--alpha", type=float, default=0.5, help="strength of the colors in the overlays, 0 to 1")
    parser.add_argument(
        "--legend", type=bool, default=True, help="names, colors and shares of the classes beside the overlays"
    )
    parser.add_argument(
        "--overwrite", type=bool, default=False, help="begin anew; drops results of other settings in the folder"
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Predict every image at its own size; 1 where some could not be."""
    config = build_parser().parse_args(arguments)
    if not 0 <= config.alpha <= 1:
        raise InputError(f"alpha={config.alpha}: must be in [0, 1].")
    output = config.output
    images = name_results(config.images, apart=(mask_path(output, "").parent, overlay_path(output, "").parent))
    predictor = _open(config)
    results = open_results(output, _settings(config, predictor), images, config.overwrite)
    before = len(images) - len(results.missing)
    if before:
        print(f"{before:,} of {len(images):,} images are done already")
    failed = _predict(predictor, images, results)
    print(output)
    return _conclude(failed, images, output)


def _open(config: Namespace) -> Predictor:
    network, card = open_network(config.checkpoint)
    inference = build_inference(config, card, config.checkpoint)
    device = pick_device(config.device)
    alpha = config.alpha if config.overlays else None
    return Predictor(network.fold().to(device), card, inference, device, alpha, config.overlays and config.legend)


def _settings(config: Namespace, predictor: Predictor) -> dict[str, Any]:
    """All that decides what a result is."""
    card = predictor.card
    return {
        "network": {"path": str(config.checkpoint), "sha256": network_sha256(config.checkpoint)},
        "class_names": list(card.class_names),
        "palette": [list(color) for color in card.palette],
        "inference": predictor.inference.arguments,
        "overlays": predictor.alpha is not None,
        "alpha": predictor.alpha,
        "legend": predictor.legend,
    }


def _predict(predictor: Predictor, images: Mapping[str, Path], results: Results) -> list[str]:
    """Predict what is missing; returns what is wrong with the images that could not be predicted."""
    failed = []
    with _progress(len(results.missing)) as done:
        for name in results.missing:
            try:
                image, label = _look(predictor, images[name])
            except InputError as error:  # one bad image among many must not cost the others
                failed.append(plain_line(f"{error}" if str(images[name]) in str(error) else f"{images[name]}: {error}"))
                if len(images) > 1:
                    print(f"classaware predict: {failed[-1]}", file=sys.stderr)
            else:
                _write(predictor, results, name, image, label)
            done()
    return failed


def _look(predictor: Predictor, path: Path) -> tuple[Any, Any]:
    image = np.ascontiguousarray(read_image(path, upright=True).permute(1, 2, 0).numpy())
    return image, predict_image(predictor.network, image, predictor.inference, predictor.device)


def _write(predictor: Predictor, results: Results, name: str, image: Any, label: Any) -> None:
    """The mask last: where there is one, all is."""
    card = predictor.card
    if predictor.alpha is not None:
        picture = overlay(image, label, card.palette, predictor.alpha)
        if predictor.legend:
            picture = add_legend(picture, label, card.class_names, card.palette)
        write_atomically(results.overlay(name), png_bytes(picture, quick=True))
    write_atomically(results.mask(name), index_png(label, card.palette))


def _conclude(failed: Sequence[str], images: Mapping[str, Path], output: Path) -> int:
    if not failed:
        return 0
    if len(images) == 1:
        raise InputError(failed[0])
    print(
        f"classaware predict: error: {len(failed):,} of {len(images):,} images could not be predicted, as said above; "
        f"the others are in {output}. The same command tries again.",
        file=sys.stderr,
    )
    return 1


class _Rate(ProgressColumn):
    """Images a second, or seconds an image."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} images/s" if speed >= 1 else f"{1 / speed:.1f} s an image")


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on the error stream where that is a terminal; call what it yields after each image."""
    console = Console(stderr=True)
    columns = ("predicting", BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(), "left")
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
