"""``classaware insight dependency``: class-dependency maps of networks, with their numbers."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser
from rich.table import Table
from torch import Tensor

from classaware.commands.data.output import make_table, plain, print_parts, progress_bar
from classaware.commands.insight.figure_files import write_figure
from classaware.commands.networks import Opened, add_subject_arguments, open_subjects
from classaware.data import Sample, SegmentationDataset
from classaware.files import check_writable, write_atomically, write_json
from classaware.insight.centers import measure_dependency
from classaware.insight.dependency import Form
from classaware.insight.dependency_numbers import summarize_dependency
from classaware.insight.dependency_plot import dependency_figure
from classaware.insight.dependency_summary import COMPARABLE, DependencySummary, Estimate

FORMAT, VERSION = "classaware-dependency", 1
_ALIKE = 1.05  # scales that differ by less are the same
_KINDS = ("png", "svg", "csv", "json")


def build_parser() -> ArgumentParser:
    """Which networks and images, and where the files go."""
    parser = ArgumentParser(
        prog="classaware insight dependency",
        description="Class-dependency maps (Fig. 4 of the CAR paper): class centers over a whole split, how much they "
        "look like each other, and what differs between networks.",
        exit_on_error=False,
    )
    add_subject_arguments(parser)
    parser.add_argument("--split", type=str, default="test", help="part of the data set")
    parser.add_argument(
        "--form",
        type=Form,
        default="paper",
        help="what is drawn, and whose pairs are printed; paper: Eq. 4 as printed, unit: with features of unit scale, "
        "cosine: of the centers. The files hold the numbers of all three.",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for dependency.png, .svg, .csv and .json")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Measure, write the files, print."""
    parser = build_parser()
    config = parser.parse_args(arguments)
    paths = [config.output / f"dependency.{kind}" for kind in _KINDS]
    for path in paths:
        check_writable(path)
    opened = open_subjects(parser, config)
    summary = measure(opened, config.split)
    write_figure(
        config.output,
        "dependency",
        dependency_figure(summary.present_maps(config.form), summary.present_names, config.form),
    )
    write_atomically(config.output / "dependency.csv", dependency_csv(summary).encode())
    head = {"format": FORMAT, "version": VERSION, "split": config.split, "dataset": opened.arguments}
    write_json(config.output / "dependency.json", {**head, "sources": opened.sources, **summary.to_dict()})
    print_parts(*parts(summary, config.form))
    for path in paths:
        print(path)


def measure(opened: Opened, split: str) -> DependencySummary:
    """One pass over the images of a split."""
    dataset = opened.dataset
    samples = dataset.samples(split)
    with progress_bar("looking") as progress:
        centers = measure_dependency(
            opened.subjects,
            _read(dataset, samples),
            dataset.ignore_index,
            dataset.num_classes,
            progress,
            len(samples),
        )
    return summarize_dependency(centers, dataset.class_names)


def _read(dataset: SegmentationDataset, samples: Sequence[Sample]) -> Iterator[tuple[Tensor, Tensor]]:
    for sample in samples:
        yield dataset.read(sample)


def parts(summary: DependencySummary, form: Form) -> list[Table | str]:
    """What is printed: means of all forms, then the pairs of one."""
    absent = len(summary.class_names) - len(summary.present_names)
    text = f"{summary.images} images, {len(summary.present_names)} classes" + (
        f"; {absent} of {len(summary.class_names)} classes are absent and left out." if absent else "."
    )
    found: list[Table | str] = [text, _means(summary)]
    if len(summary.names) > 1:
        found += [f"Difference to {_line(summary.names[0])}, of the same images:", _differences(summary)]
    found.append(
        "paper, unit: mean over classes of their dependency on all others, in %; cosine: mean of two classes. In "
        "brackets: 95 % interval over images, for these networks (seeds not included).\n"
        + "\n".join(f"{name}: {use}." for name, use in COMPARABLE.items())
    )
    found += warnings(summary)
    for name in summary.names:
        found += [f"Strongest in {_line(name)} ({form}):", _strongest(summary, form, name)]
    for name in summary.names[1:]:
        for title, changes in (("more", summary.forms[form].up[name]), ("less", summary.forms[form].down[name])):
            if changes:
                found.append(f"By most {title} in {_line(name)} than in {_line(summary.names[0])} ({form}):")
                table = make_table(
                    "class", "on", "first", "this", "difference", numbers=("first", "this", "difference")
                )
                for change in changes:
                    values = (change.first, change.other, change.difference)
                    names = (plain(summary.class_names[k]) for k in (change.of, change.on))
                    table.add_row(*names, *(_number(value, form) for value in values))
                found.append(table)
    return found


def warnings(summary: DependencySummary) -> list[str]:
    """What must not be compared between these networks."""
    found = []
    scales = [scale for scale in summary.scales.values() if scale > 0]
    if scales and max(scales) > _ALIKE * min(scales):
        factor = max(scales) / min(scales)
        found.append(f"The features' scales differ {factor:.3g} times: do not compare these networks by 'paper'.")
    if len(set(summary.channels.values())) > 1:
        found.append("The numbers of channels differ: do not compare these networks by 'paper' or 'unit'.")
    return found


def _means(summary: DependencySummary) -> Table:
    numbers = ("channels", "scale", *summary.forms)
    table = make_table("network", *numbers, numbers=numbers)
    for name in summary.names:
        cells = (_estimate(part.means[name], form) for form, part in summary.forms.items())
        table.add_row(plain(name), str(summary.channels[name]), f"{summary.scales[name]:.3g}", *cells)
    return table


def _differences(summary: DependencySummary) -> Table:
    table = make_table("network", *summary.forms, numbers=tuple(summary.forms))
    for name in summary.names[1:]:
        cells = (_estimate(part.differences[name], form) for form, part in summary.forms.items())
        table.add_row(plain(name), *cells)
    return table


def _strongest(summary: DependencySummary, form: Form, name: str) -> Table:
    table = make_table("class", "on", "value", numbers=("value",))
    for pair in summary.forms[form].strongest[name]:
        names = (plain(summary.class_names[k]) for k in (pair.of, pair.on))
        table.add_row(*names, _number(pair.value, form))
    return table


def _estimate(estimate: Estimate, form: Form) -> str:
    value = _number(estimate.value, form)
    if estimate.interval is None:
        return value
    low, high = (_number(end, form) for end in estimate.interval)
    return f"{value} [{low}, {high}]"


def _number(value: float, form: Form) -> str:
    """Fractions as percent without its sign, cosines as they are."""
    if math.isnan(value):
        return "-"
    if form == "cosine":
        return f"{value:.3f}"
    return f"{100 * value:.2f}" if value == 0 or abs(value) >= 5e-4 else f"{100 * value:.1e}"


def _line(name: str) -> str:
    return plain(name).plain


def dependency_csv(summary: DependencySummary) -> str:
    """One line a network and pair of classes that are present, with the value of every form."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "class", "on", *summary.forms])
    present = np.flatnonzero(summary.present_K).tolist()
    for name in summary.names:
        maps = [part.maps[name].tolist() for part in summary.forms.values()]
        for of in present:
            for on in present:
                writer.writerow([name, summary.class_names[of], summary.class_names[on], *(m[of][on] for m in maps)])
    return text.getvalue()
