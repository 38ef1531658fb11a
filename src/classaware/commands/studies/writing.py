"""The results of a study in files and in the terminal."""

from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from classaware.commands.output import fitted_table
from classaware.evaluation.formatting import points, short_probability, signed, signed_dotted
from classaware.files import write_atomically, write_json
from classaware.study.contrast import defined, mean
from classaware.study.groups import SplitResult, VariantResult
from classaware.study.markdown import study_markdown
from classaware.study.results import StudyResults
from classaware.study.tables import group_title

_AXES: dict[str, Callable[[SplitResult], str]] = {
    "data set": lambda group: group.dataset,
    "network": lambda group: group.network,
    "split": lambda group: group.split,
}


def write_results(folder: Path, results: StudyResults) -> list[Path]:
    """Write study.json, study.md, study.html and, where there is a difference to draw, study.png and study.svg.

    Returns:
        Their paths.

    Raises:
        InputError: a place that cannot be written to.
    """
    from classaware.insight.report import write_report  # these are slow to import
    from classaware.study.page import study_page

    figures = _figures(results)
    paths = [folder / f"study.{kind}" for kind in ("json", "md", "html", *figures)]
    text = study_markdown(results, "study.png" if figures else None)
    write_json(paths[0], results.to_dict())
    write_atomically(paths[1], text.encode())
    write_report(paths[2], study_page(results, figures.get("svg")))
    for kind, picture in figures.items():
        write_atomically(folder / f"study.{kind}", picture)
    if not figures:  # those of an earlier state would not be of these numbers
        for kind in ("png", "svg"):
            (folder / f"study.{kind}").unlink(missing_ok=True)
    return paths


def _figures(results: StudyResults) -> dict[str, bytes]:
    """The figure by the kind of its file; nothing where no difference is known."""
    from classaware.insight.figures import figure_to_png, figure_to_svg, one_line
    from classaware.insight.study_plot import PlotBlock, PlotRow, study_figure

    blocks = []
    for group in results.groups:
        found = {variant.name: variant.contrasts["mIoU"] for variant in group.variants if variant.contrasts}
        rows = [
            PlotRow(name, one.difference, one.test.interval, one.differences)
            for name, one in found.items()
            if one.difference is not None
        ]
        theirs = next((one.their_mean for one in found.values()), None)
        blocks.append(PlotBlock(group_title(group), rows, f"({one_line(results.baseline)}: {points(theirs)} %)"))
    if not any(block.rows for block in blocks):
        return {}
    figure = study_figure(blocks, results.baseline)
    return {"png": figure_to_png(figure), "svg": figure_to_svg(figure)}


def summary_table(results: StudyResults) -> Table:
    """mIoU of every variant and its difference to the baseline; data set, network and split where there are several."""
    several = {name: axis for name, axis in _AXES.items() if len({axis(group) for group in results.groups}) > 1}
    rows = [
        [*(axis(group) for axis in several.values()), *_row(variant)]
        for group in results.groups
        for variant in group.variants
    ]
    head = [*several, "variant", "n", "mIoU", "diff.", "95 %", "p", "Holm"]
    return fitted_table(head, rows, texts=len(several) + 1)


def _row(variant: VariantResult) -> list[str]:
    values = list(defined(variant.values["mIoU"]).values())
    cells = [variant.name, str(len(values)), points(mean(values))]
    found = variant.contrasts.get("mIoU")
    if found is None:
        return [*cells, *["–"] * 4]
    adjusted = "–" if variant.holm is None else f"{variant.holm:.2f}"
    return [
        *cells,
        signed(found.difference),
        signed_dotted(found.test.interval),
        short_probability(found.test),
        adjusted,
    ]
