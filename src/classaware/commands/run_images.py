"""The images of a run report: which, their pictures, and the explorer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from classaware.commands.output import progress_bar
from classaware.data import Sample, SegmentationDataset
from classaware.errors import InputError
from classaware.evaluation.comparable import aligned_counts
from classaware.evaluation.formatting import points
from classaware.insight.dependency_summary import DependencySummary, values_note
from classaware.insight.explorer.build import build_explorer
from classaware.insight.explorer.selection import choose_samples
from classaware.insight.report_blocks import SampleRow
from classaware.insight.report_images import choose_images, image_scores, sample_row
from classaware.insight.runs import Run
from classaware.insight.subject import Subject

_EXPLORED = 20  # images in the explorer


class Shown(NamedTuple):
    """An image of the report, and what is told of it."""

    sample: Sample
    caption: str


def choose_shown(runs: Sequence[Run], dataset: SegmentationDataset, split: str, count: int) -> list[Shown]:
    """The images of a split that tell most, see `choose_images`, with what every run scores on them."""
    samples = {sample.name: sample for sample in dataset.samples(split)}
    records = [run.records[split] for run in runs]
    names = records[0].names
    counts = aligned_counts(records)
    scores = np.stack([image_scores(of_run) for of_run in counts])
    found = []
    for index, reason in choose_images(scores, count):
        told = ", ".join(f"{run.name} {points(value)}" for run, value in zip(runs, scores[:, index], strict=True))
        found.append(Shown(samples[names[index]], f"{reason}: {names[index]} (IoU % {told})"))
    return found


def paint_shown(subjects: Sequence[Subject], dataset: SegmentationDataset, shown: Sequence[Shown]) -> list[SampleRow]:
    """Image, ground truth and what every network predicts."""
    rows = []
    for sample, caption in shown:
        image, label = dataset.read(sample)
        labels = [label.numpy(), *(subject.predict(image).numpy() for subject in subjects)]
        rows.append(sample_row(caption, image.permute(1, 2, 0).numpy(), labels, dataset.palette))
    return rows


def explore_shown(
    subjects: Sequence[Subject],
    dataset: SegmentationDataset,
    chosen: Mapping[str, Sequence[Shown]],
    dependency: DependencySummary,
) -> bytes:
    """The images of the report, and others until there are enough."""
    samples: list[Sample] = []
    for split, shown in chosen.items():
        own = [entry.sample for entry in shown]
        others = choose_samples(dataset, split, max(1, _EXPLORED // len(chosen)))
        every = list(dict.fromkeys([*own, *others]))[: max(len(own), _EXPLORED // len(chosen))]
        samples += every if len(chosen) == 1 else [s._replace(name=f"{split}/{s.name}") for s in every]
    form = dependency.comparable_form
    with progress_bar("exploring") as progress:
        maps, note = dependency.forms[form].maps, values_note(form)
        title = ", ".join(chosen)
        return build_explorer(subjects, dataset, title, samples, maps, progress=progress, dependency_note=note).page


def forget_explorer(report: Path, explorer: Path) -> None:
    """Remove the explorer that an earlier report shows: beside a new one it would be of other networks or images.

    Raises:
        InputError: it cannot be removed.
    """
    try:
        # Unless that report leads to it, it is something else of this name.
        if report.is_file() and f'href="{explorer.name}"'.encode() in report.read_bytes():
            explorer.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {explorer} of an earlier report ({error.strerror}): remove it.") from error
