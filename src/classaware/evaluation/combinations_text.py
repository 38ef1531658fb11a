"""Scores by the familiarity of combinations as Markdown and for the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classaware.evaluation.formatting import (
    Rows,
    escaped,
    interval_text,
    markdown_table,
    plain_line,
    points,
    probability,
    signed,
    span,
    t_test_sentence,
)
from classaware.evaluation.pair_effects import Contrast
from classaware.evaluation.rare_combinations import RareCombinations
from classaware.evaluation.side_by_side import ENOUGH, Estimate, Measure

_TERMINAL, _MARKDOWN = 10, 40  # rarest pairs

_TOGETHER = {
    "image": "are in one image",
    "touching": "touch each other in one image",
}
_INTERVALS = (
    "95 % bootstrap intervals over images: what to expect on other images of the same kind, for these very networks "
    f"(other seeds are not in it). None from fewer than {ENOUGH} images."
)
_CAUTION = (
    "Images and regions of the groups differ in more than their company: other classes, sizes, difficulty. The matched "
    "gap is over the same classes; what company alone does, the counterfactual test says."
)


def sentences(result: RareCombinations) -> list[str]:
    """What is familiar, the matched gap, and what the intervals cover."""
    least = f", from {result.min_pixels:,} pixels of each on" if result.min_pixels > 1 else ""
    lines = [
        f"{result.images:,} images, by {result.training_images:,} training images. Two classes are together if they "
        f"{_TOGETHER[result.together]}{least}; a pair is rare below {result.rare:g} times as often as by chance, and "
        "the least familiar pair of an image or region decides."
    ]
    gap = result.gap
    if gap is None:
        lines.append(
            "Matched gap: not defined, because no class stands both in familiar company and in rare or unseen company."
        )
        return [*lines, _INTERVALS]
    lines.append(
        f"Matched gap of regions, mIoU in familiar company minus mIoU in rare or never seen company, over the "
        f"{len(gap.classes)} classes that have both: {_stated(result, gap.gap)}."
    )
    lines.append(f"The same, each class weighted by its unfamiliar regions: {_stated(result, gap.weighted_gap)}.")
    if gap.gap.test is not None:
        lines.append(f"The matched gaps' difference. {t_test_sentence(gap.gap.test)}")
    return [*lines, _INTERVALS, _CAUTION]


def as_markdown(result: RareCombinations) -> str:
    """All but the whole table of pairs; every name is escaped."""
    title = "Rare combinations"
    if result.theirs is not None:
        title += f": {result.ours.name} against {result.theirs.name}"
    parts = [f"# {escaped(title)}", ""]
    for warning in result.warnings:
        parts += [f"**Warning.** {escaped(warning)}", ""]
    parts += [*(f"* {escaped(line)}" for line in sentences(result)), ""]
    for heading, (head, rows) in _tables(result, _MARKDOWN):
        if rows:
            parts += [f"## {escaped(heading)}", "", *markdown_table(head, rows), ""]
    parts += ["## What was evaluated", "", *(f"* {escaped(line)}" for line in result.descriptions), ""]
    for side in (result.ours, result.theirs):
        if side is not None:
            parts += [f"Files of {escaped(side.name)}:", "", *(f"* {escaped(path)}" for path in side.paths), ""]
    return "\n".join(parts)


def show(result: RareCombinations, console: Console) -> None:
    """Print groups, gap and the rarest pairs; names are shown literally."""
    for line in result.descriptions:
        console.print(Text(plain_line(line)))
    for heading, (head, rows) in _tables(result, _TERMINAL):
        if not rows or heading in (_CURVE, _BY_CLASS):
            continue
        table = Table(title=Text(plain_line(heading)))
        for index, name in enumerate(head):
            table.add_column(Text(plain_line(name)), justify="right" if index > 1 else "left")
        for row in rows:
            table.add_row(*(Text(plain_line(cell)) for cell in row))
        console.print(table)
    for line in sentences(result):
        console.print(Text(plain_line(line)))
    for warning in result.warnings:
        console.print(Text(f"WARNING: {plain_line(warning)}", style="bold red"))


_GROUPS = "mIoU %, by what the least familiar pair is"
_BY_CLASS = "IoU % of each class in familiar company minus that in unfamiliar company"
_CURVE = "mIoU %, from rare to familiar"
_RAREST = (
    f"IoU % of a class where it stands with a partner minus where it does not, rarest first, from {ENOUGH} images on"
)


def _tables(result: RareCombinations, most: int) -> list[tuple[str, tuple[list[str], Rows]]]:
    return [
        (_GROUPS, _groups(result)),
        (_BY_CLASS, _classes(result)),
        (_CURVE, _curve(result)),
        (_RAREST, _rarest(result, most)),
    ]


def _groups(result: RareCombinations) -> tuple[list[str], Rows]:
    head = ["unit", "combinations", "number", "classes", *_measured(result), *_tested(result)]
    return head, [
        [
            *(item.unit, item.group, f"{item.units:,}", str(item.classes)),
            *(*_levels(item.mean_iou), *_p(item.mean_iou)),
        ]
        for item in result.groups
    ]


def _curve(result: RareCombinations) -> tuple[list[str], Rows]:
    head = ["unit", "times as often as by chance (smoothed)", "number", *_measured(result)]
    return head, [
        [item.unit, f"{item.lowest:.2f} to {item.highest:.2f}", str(item.units), *_levels(item.mean_iou)]
        for item in result.curve
    ]


def _classes(result: RareCombinations) -> tuple[list[str], Rows]:
    head = ["class", "familiar regions", "unfamiliar regions", *_measured(result)]
    rows = [] if result.gap is None else result.gap.classes
    return head, [
        [row.name, str(row.familiar_regions), str(row.unfamiliar_regions), *_differences(row.gap)] for row in rows
    ]


def _rarest(result: RareCombinations, most: int) -> tuple[list[str], Rows]:
    known = [row for row in result.pairs if row.images >= ENOUGH]
    chosen = sorted(known, key=lambda row: (row.score, row.name, row.partner))[:most]
    head = ["class", "partner", "seen", "by chance", "category", "images", "elsewhere", *_measured(result)]
    return head, [
        [
            *(row.name, row.partner, str(row.training), f"{row.expected:.1f}", row.category),
            *(str(row.images), str(row.other_images), *_differences(row.effect)),
        ]
        for row in chosen
    ]


def _measured(result: RareCombinations) -> list[str]:
    if result.theirs is None:
        return [result.ours.name, "95 %"]
    return [result.ours.name, result.theirs.name, "difference", "95 %"]


def _tested(result: RareCombinations) -> list[str]:
    return [] if result.theirs is None else ["p over seeds"]


def _levels(measure: Measure) -> list[str]:
    if measure.theirs is None or measure.difference is None:
        return [points(measure.ours.value), span(measure.ours.interval)]
    return [points(measure.ours.value), points(measure.theirs.value), *_difference(measure.difference)]


def _differences(measure: Measure | Contrast) -> list[str]:
    if measure.theirs is None or measure.difference is None:
        return [signed(measure.ours.value), interval_text(measure.ours.interval)]
    return [signed(measure.ours.value), signed(measure.theirs.value), *_difference(measure.difference)]


def _difference(estimate: Estimate) -> list[str]:
    return [signed(estimate.value), interval_text(estimate.interval)]


def _p(measure: Measure) -> list[str]:
    """Cells of the last column, which only a comparison has."""
    if measure.theirs is None:
        return []
    return ["–" if measure.test is None or measure.test.p is None else probability(measure.test.p)]


def _stated(result: RareCombinations, measure: Measure) -> str:
    def one(estimate: Estimate) -> str:
        return f"{signed(estimate.value)} points (95 % interval {interval_text(estimate.interval)})"

    if result.theirs is None or measure.theirs is None or measure.difference is None:
        return one(measure.ours)
    return (
        f"{result.ours.name} {one(measure.ours)}, {result.theirs.name} {one(measure.theirs)}, difference "
        f"{one(measure.difference)}"
    )
