"""Scores by the familiarity of combinations as tables of texts."""

from classaware.evaluation.formatting import Rows, dotted, points, short_probability, signed, signed_dotted
from classaware.evaluation.pair_effects import Contrast, PairEffect
from classaware.evaluation.rare_combinations import RareCombinations
from classaware.evaluation.side_by_side import ENOUGH, Estimate, Measure

_TERMINAL, _MARKDOWN = 10, 40  # rarest pairs

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


def long_tables(result: RareCombinations) -> list[Titled]:
    """The same in full for Markdown, and scores by class and along the curve."""
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
