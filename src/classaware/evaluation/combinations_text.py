"""Scores by the familiarity of combinations in sentences and tables, and as Markdown."""

from classaware.evaluation.formatting import (
    Rows,
    dotted,
    escaped,
    interval_text,
    markdown_table,
    points,
    short_probability,
    signed,
    signed_dotted,
    t_test_sentence,
)
from classaware.evaluation.pair_effects import Contrast, PairEffect
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
        f"{_TOGETHER[result.together]}{least}; a pair's lift is how many times as often as by chance they are. A pair is "
        f"rare below a lift of {result.rare:g}, and the least familiar pair of an image or region decides."
    ]
    if result.theirs is not None:
        lines.append(f"diff: {result.ours.name} minus {result.theirs.name}. p: t-test over the runs of its being zero.")
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
    for heading, (head, rows), _ in _long_tables(result):
        if rows:
            parts += [f"## {escaped(heading)}", "", *markdown_table(head, rows), ""]
    parts += ["## What was evaluated", "", *(f"* {escaped(line)}" for line in result.descriptions), ""]
    for side in (result.ours, result.theirs):
        if side is not None:
            parts += [f"Files of {escaped(side.name)}:", "", *(f"* {escaped(path)}" for path in side.paths), ""]
    return "\n".join(parts)


Titled = tuple[str, tuple[list[str], Rows], int]  # its title, head and rows, and how many columns are names


def tables(result: RareCombinations) -> list[Titled]:
    """What the terminal shows: groups and the rarest pairs, in few and narrow columns."""
    found = [*_groups(result), (_RAREST, _rarest(result), 2)]
    return [(title, table, names) for title, table, names in found if table[1]]


_GROUPS = {
    "image": "mIoU % of images, by how familiar their least familiar pair is",
    "region": "mIoU % of regions (a class in an image), by how familiar their least familiar partner is",
}
_BY_CLASS = "IoU % of each class in familiar company minus that in unfamiliar company"
_CURVE = "mIoU %, from rare to familiar"
_RAREST = (
    f"IoU % of a class where it stands with a partner minus where it does not, rarest first, from {ENOUGH} images on"
)


def _long_tables(result: RareCombinations) -> list[Titled]:
    return [
        *_groups(result),
        (_BY_CLASS, _classes(result), 1),
        (_CURVE, _curve(result), 1),
        (_RAREST, _rarest_in_full(result), 2),
    ]


def _groups(result: RareCombinations) -> list[Titled]:
    """A table a unit; groups without any are left out."""
    measured = [*_measured(result), *([] if result.theirs is None else ["p"])]
    found: list[Titled] = []
    for unit, title in _GROUPS.items():
        head = ["company", f"{unit}s", "classes", *measured]
        rows = [
            [item.group, f"{item.units:,}", str(item.classes), *_levels(item.mean_iou), *_p(item.mean_iou)]
            for item in result.groups
            if item.unit == unit and item.units
        ]
        found.append((title, (head, rows), 1))
    return found


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


def _rarest(result: RareCombinations) -> tuple[list[str], Rows]:
    head = ["class", "partner", "lift", "images", *_measured(result)]
    return head, [
        [
            *(row.name, row.partner, "–" if row.lift is None else f"{row.lift:.2f}", str(row.images)),
            *_differences(row.effect),
        ]
        for row in _rarest_pairs(result, _TERMINAL)
    ]


def _rarest_in_full(result: RareCombinations) -> tuple[list[str], Rows]:
    head = ["class", "partner", "seen", "by chance", "category", "images", "elsewhere", *_measured(result)]
    return head, [
        [
            *(row.name, row.partner, str(row.training), f"{row.expected:.1f}", row.category),
            *(str(row.images), str(row.other_images), *_differences(row.effect)),
        ]
        for row in _rarest_pairs(result, _MARKDOWN)
    ]


def _rarest_pairs(result: RareCombinations, most: int) -> list[PairEffect]:
    known = [row for row in result.pairs if row.images >= ENOUGH]
    return sorted(known, key=lambda row: (row.score, row.name, row.partner))[:most]


def _measured(result: RareCombinations) -> list[str]:
    if result.theirs is None:
        return [result.ours.name, "95 %"]
    return [result.ours.name, result.theirs.name, "diff", "95 %"]


def _levels(measure: Measure) -> list[str]:
    if measure.theirs is None or measure.difference is None:
        return [points(measure.ours.value), dotted(measure.ours.interval)]
    return [points(measure.ours.value), points(measure.theirs.value), *_difference(measure.difference)]


def _differences(measure: Measure | Contrast) -> list[str]:
    if measure.theirs is None or measure.difference is None:
        return [signed(measure.ours.value), signed_dotted(measure.ours.interval)]
    return [signed(measure.ours.value), signed(measure.theirs.value), *_difference(measure.difference)]


def _difference(estimate: Estimate) -> list[str]:
    return [signed(estimate.value), signed_dotted(estimate.interval)]


def _p(measure: Measure) -> list[str]:
    """Cells of the last column, which only a comparison has."""
    if measure.theirs is None:
        return []
    return [short_probability(measure.test)]


def _stated(result: RareCombinations, measure: Measure) -> str:
    def one(estimate: Estimate) -> str:
        return f"{signed(estimate.value)} points (95 % interval {interval_text(estimate.interval)})"

    if result.theirs is None or measure.theirs is None or measure.difference is None:
        return one(measure.ours)
    return (
        f"{result.ours.name} {one(measure.ours)}, {result.theirs.name} {one(measure.theirs)}, difference "
        f"{one(measure.difference)}"
    )
