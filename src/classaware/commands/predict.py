"""``classaware predict``: label maps and overlays for images."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentParser
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from classaware.commands.inference import add_inference_arguments, build_inference, pick_device
from classaware.data import IMAGE_SUFFIXES, read_image
from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.files import write_atomically
from classaware.insight import overlay, png_bytes
from classaware.models import Segmenter
from classaware.training.card import NetworkCard, load_network


def build_parser() -> ArgumentParser:
    """Checkpoint, images and where the results go."""
    parser = ArgumentParser(
        prog="classaware predict",
        description="Write an index mask (PNG with the class colors as palette) and an overlay for every image. "
        "What is not given of inference is as in the validation of the training.",
        exit_on_error=False,
    )
    parser.add_argument("checkpoint", type=Path, help="written by 'classaware fit' or 'weights'")
    add_inference_arguments(parser)
    parser.add_argument("images", type=Path, nargs="+", help="image files, or folders (searched in depth)")
    parser.add_argument("--output", type=Path, required=True, help="folder for masks/ and overlays/")
    parser.add_argument("--overlays", type=bool, default=True, help="write overlays too")
    parser.add_argument("--alpha", type=float, default=0.5, help="strength of the colors in the overlays, 0 to 1")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Predict every image at its own size."""
    config = build_parser().parse_args(arguments)
    if not 0 <= config.alpha <= 1:
        raise InputError(f"alpha={config.alpha}: must be in [0, 1].")
    images = name_results(config.images)
    network, card = load_network(config.checkpoint)
    inference = build_inference(config, card, config.checkpoint)
    device = pick_device(config.device)
    folded = network.fold().to(device)
    for name, path in track(images.items(), "predicting"):
        image = np.ascontiguousarray(read_image(path).permute(1, 2, 0).numpy())
        label = predict_image(folded, image, inference, device)
        write_atomically(config.output / "masks" / f"{name}.png", _index_png(label, card))
        if config.overlays:
            picture = png_bytes(overlay(image, label, card.palette, config.alpha))
            write_atomically(config.output / "overlays" / f"{name}.png", picture)
    print(config.output)


def predict_image(
    network: Segmenter, image: NDArray[np.uint8], inference: Inference, device: torch.device
) -> NDArray[np.uint16]:
    """Classes (H, W) of an image (H, W, 3) at its own size."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].to(device)
    labels = inference.predict(network, pixels, (image.shape[0], image.shape[1]))
    return labels[0].cpu().numpy().astype(np.uint16)


def name_results(paths: Sequence[Path]) -> dict[str, Path]:
    """Name of the result (without ending, folders kept) to image; never two images for one name."""
    results: dict[str, Path] = {}
    for given in paths:
        for path in _images(given):
            name = (path.relative_to(given) if given.is_dir() else Path(path.name)).with_suffix("").as_posix()
            if name in results:
                raise InputError(f"{results[name]} and {path} would both be written to {name}.png: give one of them.")
            results[name] = path
    return results


def _images(given: Path) -> Iterator[Path]:
    if not given.exists():
        raise InputError(f"image {given} does not exist.")
    if given.is_file():
        yield given
        return
    found = sorted(path for path in given.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"folder {given} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    yield from found


def _index_png(label: NDArray[np.uint16], card: NetworkCard) -> bytes:
    """8 bits with the palette, or 16 bits without where there are more than 256 classes."""
    if len(card.palette) > 256:
        mask = Image.fromarray(label)
    else:
        mask = Image.fromarray(label.astype(np.uint8))
        mask.putpalette([channel for color in card.palette for channel in color])
    buffer = io.BytesIO()
    mask.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
