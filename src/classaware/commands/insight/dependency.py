"""``classaware insight dependency``: class-dependency maps of networks, with their numbers."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.table import Table

from classaware.commands.insight.figure_files import write_figure
from classaware.commands.output import fitted_table, paragraphs, print_parts, progress_bar
from classaware.commands.subjects import Opened, add_subject_arguments, open_subjects
from classaware.data import SegmentationDataset
from classaware.files import check_writable, write_atomically, write_json
from classaware.insight.centers import measure_dependency
from classaware.insight.dependency import Form
from classaware.insight.dependency_numbers import summarize_dependency
from classaware.insight.dependency_plot import dependency_figure
from classaware.insight.dependency_sides import DependencySides, Side, compare_sides
from classaware.insight.dependency_summary import DependencySummary
from classaware.insight.dependency_text import dependency_csv, sentences, tables
from classaware.insight.subject import Subject

FORMAT, VERSION = "classaware-dependency", 1
_KINDS = ("png", "svg", "csv", "json")


def build_parser() -> ArgumentParser:
    """Which networks and images, and where the files go."""
    parser = ArgumentParser(
        prog="classaware insight dependency",
        description="Class-dependency maps (Fig. 4 of the CAR paper): class centers over a whole split, how much they "
        "look like each other, and what differs between networks, or between two groups of trainings.",
        exit_on_error=False,
    )
    add_subject_arguments(parser, against=True)
    parser.add_argument("--split", type=str, default="test", help="part of the data set")
    parser.add_argument(
        "--form",
        type=Form | None,
        default=None,
        help="what is drawn, and whose pairs are printed; paper: Eq. 4 as printed, unit: with features of unit scale, "
        "cosine: of the centers; default: paper for one network, for several the form in which they may be compared. "
        "The files hold the numbers of all three.",
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
    summary = measure([*opened.subjects, *opened.against], opened.dataset, [config.split])
    sides = None if opened.sides is None else compare(opened, summary, opened.sides)
    form: Form = config.form or ("paper" if len(summary.names) == 1 else summary.comparable_form)
    maps = summary.present_maps(form)
    if sides is not None:
        maps = {name: summary.without_absent(square) for name, square in sides.maps(form).items()}
    write_figure(config.output, "dependency", dependency_figure(maps, summary.present_names, form))
    write_atomically(config.output / "dependency.csv", dependency_csv(summary).encode())
    head = {"format": FORMAT, "version": VERSION, "split": config.split, "dataset": opened.arguments}
    compared = {"sides": None if sides is None else sides.to_dict()}
    write_json(config.output / "dependency.json", {**head, "sources": opened.sources, **summary.to_dict(), **compared})
    print_parts(*parts(summary, sides, form))
    for path in paths:
        print(path)


def compare(opened: Opened, summary: DependencySummary, titles: tuple[str, str]) -> DependencySides:
    """The networks against the others."""
    seeds = {source["name"]: source["seed"] for source in opened.sources}
    networks = [tuple(subject.name for subject in side) for side in (opened.subjects, opened.against)]
    ours, theirs = (
        Side(title, each, tuple(seeds[name] for name in each)) for title, each in zip(titles, networks, strict=True)
    )
    return compare_sides(summary, ours, theirs)


def measure(subjects: Sequence[Subject], dataset: SegmentationDataset, splits: Sequence[str]) -> DependencySummary:
    """One pass over the images of some splits.

    Raises:
        InputError: no such split, an image that cannot be read, or features that cannot be measured.
    """
    samples = [sample for split in splits for sample in dataset.samples(split)]
    pairs = map(dataset.read, samples)
    ignore_index, num_classes = dataset.ignore_index, dataset.num_classes
    with progress_bar("looking") as progress:
        centers = measure_dependency(subjects, pairs, ignore_index, num_classes, progress, len(samples))
    return summarize_dependency(centers, dataset.class_names)


def parts(summary: DependencySummary, sides: DependencySides | None, form: Form) -> list[Table | str]:
    """What is printed: means of all forms, then the pairs of one, and what the numbers mean."""
    absent = len(summary.class_names) - len(summary.present_names)
    left_out = f"; {absent} of {len(summary.class_names)} classes are absent and left out." if absent else "."
    found: list[Table | str] = [f"{summary.images} images, {len(summary.present_names)} classes{left_out}"]
    for title, (head, rows), names in tables(summary, sides, form):
        found += [paragraphs([f"{title}:"]), fitted_table(head, rows, names)]
    return [*found, paragraphs(sentences(summary, sides))]
