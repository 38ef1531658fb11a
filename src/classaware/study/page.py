"""The results of a study as ONE HTML page; every name is escaped."""

from collections.abc import Sequence

from classaware.evaluation.formatting import points, short_probability, signed
from classaware.insight.report import Report
from classaware.insight.report_blocks import (
    Block,
    Details,
    Figure,
    Heading,
    Number,
    Numbers,
    Section,
    Table,
    Text,
)
from classaware.study.contrast import mean
from classaware.study.results import StudyResults
from classaware.study.sentences import (
    OF_CLASSES,
    OF_FIGURE,
    OF_MEANS,
    OF_OTHERS,
    about_tests,
    group_notes,
    progress,
)
from classaware.study.tables import (
    class_table,
    group_title,
    made_table,
    mean_table,
    other_table,
    settings_table,
    undone_table,
)

_FEW = 6  # differences that can be seen at a glance


def study_page(results: StudyResults, figure: bytes | None = None) -> Report:
    """All that the study shows, numbers first; what is empty is left out.

    Args:
        results: what it shows.
        figure: PNG or SVG of its figure; None where there is none.
    """
    return Report(
        results.name,
        f"Every variant against {results.baseline}. {progress(results)}",
        [
            Section("In short", _short(results, figure)),
            Section("Mean IoU", _means(results)),
            Section("Combinations of classes", _others(results)),
            Section("Classes", _classes(results)),
            Section("Not done", [Table("Trainings without results", *undone_table(results))]),
            Section("What was trained", _made(results)),
        ],
    )


def _short(results: StudyResults, figure: bytes | None) -> list[Block]:
    found = [(group, v, v.contrasts["mIoU"]) for group in results.groups for v in group.variants if v.contrasts]
    blocks: list[Block] = []
    if len(found) <= _FEW:
        tiles = [
            Number(
                signed(one.difference),
                f"{variant.name} on {group_title(group)}: points of mIoU",
                f"{points(mean(one.theirs))} to {points(mean(one.ours))} %, p {short_probability(one.test)}",
            )
            for group, variant, one in found
        ]
        blocks.append(Numbers(tiles))
    if figure is not None:
        alt = "Dots of pairs, means and intervals of every variant; the tables below have the same numbers."
        blocks.append(Figure(OF_FIGURE, alt, figure))
    return [*blocks, Text(about_tests(results))]


def _means(results: StudyResults) -> list[Block]:
    blocks: list[Block] = [Text(OF_MEANS, quiet=True)] if results.groups else []
    for group in results.groups:
        head, rows = mean_table(group)
        rows = [[name, seeds.replace(" ", "\N{NO-BREAK SPACE}"), *rest] for name, seeds, *rest in rows]
        blocks += [Heading(group_title(group)), Table("mIoU, and differences in points", head, rows)]
        blocks += [Text(note, quiet=True) for note in group_notes(group, results.baseline)]
    return blocks


def _others(results: StudyResults) -> Sequence[Block]:
    blocks: list[Block] = []
    for group in results.groups:
        table = other_table(group)
        if table is not None:
            blocks += [Heading(group_title(group)), Table("mean, and differences with p", *table)]
    return [Text(OF_OTHERS, quiet=True), *blocks] if blocks else []


def _classes(results: StudyResults) -> Sequence[Block]:
    blocks: list[Block] = []
    for group in results.groups:
        for variant in group.variants:
            table = class_table(variant)
            if table is not None:
                caption = f"IoU %, {variant.name} minus {results.baseline}"
                blocks.append(Details(f"{group_title(group)}: {variant.name}", [Table(caption, *table)]))
    return [Text(OF_CLASSES, quiet=True), *blocks] if blocks else []


def _made(results: StudyResults) -> list[Block]:
    arguments = Table("Arguments; of one that is given twice, the lower has the last word", *settings_table(results))
    return [arguments, Details("Versions, commits and devices", [Table("As recorded", *made_table(results))])]
