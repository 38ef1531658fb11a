"""Problems that show themselves only when all pairs have been seen."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from classaware.data.camvid import CamVid
from classaware.data.checking.findings import Finding, Severity
from classaware.data.checking.inspection import Inspection
from classaware.data.checking.tally import Tally
from classaware.data.dataset import SegmentationDataset

_ERROR: Severity = "error"
_WARNING: Severity = "warning"
_LARGE_SHARE = 0.01  # of all pixels; a slip of the pen is less, a value for borders or unlabeled ground is more


def is_training(split: str) -> bool:
    """Whether a split is there to be trained on, by its name: train, trainval, train_aug, ..."""
    return split.startswith("train")


def values_outside(dataset: SegmentationDataset, seen: Sequence[Inspection]) -> Iterator[Finding]:
    """Every mask with values that are no class; with the reason, where all masks together tell it."""
    found = [(one, one.histogram) for one in seen if one.histogram and one.histogram.others]
    pixels: Counter[int] = Counter()
    for _, histogram in found:
        pixels.update(histogram.others)
    kind, cure = _reason(dataset, pixels, [one.histogram.counts for one in seen if one.histogram], _size(seen))
    for one, histogram in found:
        values = ", ".join(f"{value} ({number} pixels)" for value, number in histogram.others.items())
        more = histogram.other_values - len(histogram.others)
        message = (
            f"{one.sample.label} holds {values}{f' and {more} more values' if more else ''}, neither one of the "
            f"{dataset.num_classes} classes (0 to {dataset.num_classes - 1}) nor "
            f"ignore_index={dataset.ignore_index}: {cure}"
        )
        yield Finding("error", kind, one.split, str(one.sample.label), message)


def _size(seen: Sequence[Inspection]) -> int:
    every = [one.histogram for one in seen if one.histogram]
    return sum(sum(one.counts.values()) + one.ignored + one.other_pixels for one in every)


def _reason(
    dataset: SegmentationDataset, pixels: Counter[int], counts: Sequence[dict[int, int]], size: int
) -> tuple[str, str]:
    if len(pixels) == 1:
        ((value, number),) = pixels.items()
        if value == dataset.num_classes and not any(0 in one for one in counts):
            cure = "no mask holds 0, so the classes seem to be counted from 1. Subtract 1 from every mask."
            return "classes counted from 1", cure
        if value == dataset.num_classes:
            none = dataset.ignore_index
            return "value one past the last class", (
                f"either classes are counted from 1 and 0 means 'no class' (then write each value less 1, and {none} "
                f"for 0), or {value} means 'no class' (then write {none}), or the list lacks a class. Look at the "
                "masks with 'classaware data show' before you choose."
            )
        if number >= _LARGE_SHARE * size:
            # CamVid's is part of its format.
            give = (
                ""
                if isinstance(dataset, CamVid)
                else f"give --ignore_index {value} here and --data.dataset.ignore_index {value} to fit, or "
            )
            return "unknown ignore value", (
                f"{value} is the only such value and has {100 * number / size:.1f} % of all pixels, so it probably "
                f"means 'no class': {give}write {dataset.ignore_index} in its place."
            )
    return "values outside the classes", "correct the mask, the list of classes, or ignore_index."


def repeated_images(seen: Sequence[Inspection]) -> Iterator[Finding]:
    """Images of equal bytes: in a training and another split (an error), in two others or twice in one (warnings)."""
    groups: dict[str, list[Inspection]] = defaultdict(list)
    for one in seen:
        if one.image_digest is not None:
            groups[one.image_digest].append(one)
    for group in groups.values():
        for i, one in enumerate(group[1:], 1):
            # The worst first: a leak, then two splits, then twice in one.
            apart = [before for before in group[:i] if _apart(before.split, one.split)]
            leaks = [before for before in apart if is_training(before.split) or is_training(one.split)]
            twins = [before for before in group[:i] if before.split == one.split]
            for others, severity, kind, why in (
                (leaks, _ERROR, "same image in two splits", "what is learned must not be what is measured."),
                (apart, _WARNING, "same image in two splits", "what is chosen by must not be what is reported on."),
                (twins, _WARNING, "same image twice", "it counts twice."),
            ):
                if others:
                    twin = others[0].sample.image
                    message = f"{one.sample.image} is the same image as {twin}: {why} Remove one of them."
                    yield Finding(severity, kind, one.split, str(one.sample.image), message)
                    break


def _apart(split: str, other: str) -> bool:
    # train and trainval, or train and train_aug, share images on purpose and are never measured on each other.
    return split != other and not (is_training(split) and is_training(other))


def absent_classes(class_names: Sequence[str], tallies: Sequence[Tally], root: Path) -> Iterator[Finding]:
    """Classes without a pixel: anywhere, or in what is trained on."""
    training = [tally for tally in tallies if is_training(tally.name)]
    if not any(tally.images_K.any() for tally in tallies):
        if any(tally.pixels for tally in tallies) and not any(tally.other_pixels for tally in tallies):
            yield Finding(
                "error",
                "no labeled pixel",
                None,
                str(root),
                f"no mask in {root} has a labeled pixel: nothing can be learned. See what ignore_index is, and what "
                "the masks hold.",
            )
        return
    for index, name in enumerate(class_names):
        where = [tally.name for tally in tallies if tally.images_K[index]]
        if not where:
            message = (
                f"class {index} ({name}) has no pixel in {root}: no score can be given for it. See that the list of "
                "classes and the numbers in the masks belong together."
            )
            yield Finding("warning", "class that never occurs", None, None, message)
        elif training and not any(is_training(split) for split in where):
            message = (
                f"class {index} ({name}) occurs in {', '.join(where)} but not in {training[0].name}: it cannot be "
                "learned, and its IoU will be 0. Divide the images anew, or leave the class out."
            )
            yield Finding("warning", "class that is not in training", training[0].name, None, message)
