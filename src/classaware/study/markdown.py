"""The results of a study as Markdown; every name is escaped."""

from classaware.evaluation.formatting import escaped, markdown_table
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
    Lines,
    class_table,
    group_title,
    made_table,
    mean_table,
    other_table,
    settings_table,
    undone_table,
)


def study_markdown(results: StudyResults, figure: str | None = None) -> str:
    """The whole study.

    Args:
        results: what it shows.
        figure: name of the file of its figure, beside this text; None where there is none.
    """
    parts = [f"# {escaped(results.name)}", "", progress(results), ""]
    if figure is not None:
        parts += [f"![mIoU of every variant against {escaped(results.baseline)}]({figure})", "", OF_FIGURE, ""]
    parts += _means(results) + _others(results) + _classes(results)
    if results.failed or results.missing:
        parts += ["## Not done", "", *_table(undone_table(results))]
    parts += ["## What was trained", "", *_table(settings_table(results))]
    parts += ["## With what", "", *_table(made_table(results))]
    return "\n".join(parts).rstrip() + "\n"


def _means(results: StudyResults) -> list[str]:
    parts = ["## Mean IoU", "", f"Baseline: {escaped(results.baseline)}. {OF_MEANS}", "", about_tests(results), ""]
    for group in results.groups:
        parts += [f"### {escaped(group_title(group))}", "", *_table(mean_table(group))]
        notes = [f"* {escaped(note)}" for note in group_notes(group, results.baseline)]
        parts += [*notes, ""] if notes else []
    return parts


def _others(results: StudyResults) -> list[str]:
    found = [(group, table) for group in results.groups if (table := other_table(group)) is not None]
    parts = ["## Combinations of classes", "", OF_OTHERS, ""] if found else []
    for group, table in found:
        parts += [f"### {escaped(group_title(group))}", "", *_table(table)]
    return parts


def _classes(results: StudyResults) -> list[str]:
    parts = []
    for group in results.groups:
        for variant in group.variants:
            table = class_table(variant)
            if table is not None:
                parts += [f"### {escaped(group_title(group))}: {escaped(variant.name)}", "", *_table(table)]
    return ["## Classes", "", OF_CLASSES, "", *parts] if parts else []


def _table(lines: Lines) -> list[str]:
    return [*markdown_table(*lines), ""]
