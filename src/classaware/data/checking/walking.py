"""The files of a split as they lie there, with everything that does not fit together."""

from collections import defaultdict
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from classaware.data.checking.findings import Finding
from classaware.data.dataset import Sample, is_hidden
from classaware.data.open import SplitFolders
from classaware.data.reading import IMAGE_SUFFIXES

# Pictures that lie among the images and would be passed over in silence.
UNREAD_SUFFIXES = frozenset({".tif", ".tiff", ".gif", ".jp2", ".ppm", ".heic", ".avif", ".npy", ".dng"})


class Walk(NamedTuple):
    """Complete pairs, and what is wrong with the rest; ``samples`` of the data set stops at the first of these."""

    pairs: list[Sample]
    findings: list[Finding]


def walk(split: str, folders: SplitFolders) -> Walk:
    """Look through the folders of a split; opens no file."""
    findings = list(_folders(split, folders))
    if findings:
        return Walk([], findings)
    images: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folders.images.iterdir()):
        if is_hidden(path):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images[path.stem].append(path)
        elif path.suffix.lower() in UNREAD_SUFFIXES:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            message = f"{path} is passed over: images must be {kinds}. Convert it, or remove it."
            findings.append(Finding("warning", "picture of a type that is not read", split, str(path), message))
    if not images:
        message = f"folder {folders.images} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})."
        return Walk([], [*findings, Finding("error", "empty folder", split, str(folders.images), message)])
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for path in folders.masks.iterdir() if not is_hidden(path)):
        masks[path.stem].append(path)
    pairs = []
    for stem, (image, *others) in images.items():
        for other in others:
            message = f"{image} and {other} would share the mask {stem}.png: remove one of them."
            findings.append(Finding("error", "two images with one name", split, str(other), message))
        mask = folders.masks / f"{stem}.png"
        if mask.is_file():
            pairs.append(Sample(stem, image, mask))
        else:
            findings.append(_missing(split, image, mask, masks))
    findings += _lonely(split, masks, images)
    return Walk(pairs, findings)


def _folders(split: str, folders: SplitFolders) -> Iterator[Finding]:
    for folder in folders:
        if not folder.is_dir():
            message = (
                f"folder {folder} does not exist: expected images in {folders.images} and masks in {folders.masks}."
            )
            yield Finding("error", "missing folder", split, str(folder), message)


def _missing(split: str, image: Path, mask: Path, masks: dict[str, list[Path]]) -> Finding:
    near = [path for path in masks.get(mask.stem, []) if path != mask]
    cure = "add it, or remove the image."
    if near:
        jpeg = near[0].suffix.lower() in (".jpg", ".jpeg")
        reason = "JPEG changes the class numbers: write it anew" if jpeg else "rename or convert it"
        cure = f"there is {near[0].name}, but masks must be .png ({reason})."
    message = f"the mask {mask} of {image} is missing: {cure}"
    return Finding("error", "missing mask", split, str(mask), message)


def _lonely(split: str, masks: dict[str, list[Path]], stems: Container[str]) -> Iterator[Finding]:
    for path in (path for stem, paths in masks.items() if stem not in stems for path in paths):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            message = f"{path} belongs to no image of the split: add the image, or remove the mask."
            yield Finding("warning", "mask without an image", split, str(path), message)
