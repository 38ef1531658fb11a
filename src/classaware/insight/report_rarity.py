"""What unfamiliar company costs each run: the gap in one number, groups, the curve over rarity, the rarest pairs."""

from collections.abc import Sequence

from classaware.evaluation.formatting import interval_text, points, signed
from classaware.evaluation.pair_effects import PairEffect
from classaware.evaluation.rare_combinations import GroupScore, MatchedGap, RareCombinations
from classaware.evaluation.side_by_side import ENOUGH, Estimate, Measure
from classaware.insight.combinations_plot import combinations_figure
from classaware.insight.figures import figure_to_svg, run_color
from classaware.insight.report_blocks import Block, Details, Figure, Heading, Table, Text
from classaware.insight.runs import Findings

GAP = "matched gap"
_SHOWN = 10  # pairs
_OPEN = 2  # figures that are not folded away
_PARTS = ("familiar", "unfamiliar", "gap", "weighted_gap")
_CAUTION = (
    "Images and regions of the groups differ in more than their company: other classes, sizes, difficulty. What "
    "company alone does, 'classaware insight counterfactual' tests."
)
_NO_GAP = "No class stands both in familiar and in unfamiliar company here, so there is no gap."


def rarity_blocks(findings: Findings) -> Sequence[Block]:
    """By split: the gap of every run, the groups, the curve, and the rarest pairs."""
    if not any(findings.rarity.values()):
        return []
    one = next(found for rarity in findings.rarity.values() for found in rarity)
    verb = "touch" if one.together == "touching" else "occur together"
    intro = (
        f"How often two classes {verb} in the {one.training_images:,} training images says how familiar they are with "
        f"each other: rare is below {one.rare:g} times chance. A region (a class in an image) counts by its least "
        "familiar neighbor. The matched gap is mIoU in familiar company minus mIoU in rare company or one never seen, "
        "over the classes that stand in both: 0 for a network that does not care for company. Weighted: each class by "
        "its unfamiliar regions."
    )
    blocks: list[Block] = [Text(intro)]
    for split, rarity in findings.rarity.items():
        blocks.append(Heading(split))
        blocks += _split(split, rarity, findings.names)
    return [*blocks, Text(_CAUTION, quiet=True)]


def gap_of(rarity: Sequence[RareCombinations]) -> tuple[list[float | None], Estimate | None]:
    """The gap of every run; of one run also its interval, of several the last one's difference to the first.

    Nothing where no class has a gap.
    """
    gaps = [found.gap.gap for found in rarity if found.gap is not None]
    if not gaps:
        return [], None
    return [estimate.value for estimate in _estimates(gaps)], gaps[-1].difference or gaps[-1].ours


def _estimates(measures: Sequence[Measure]) -> list[Estimate]:
    """One a run; the first is what the others are measured against."""
    first = [] if measures[0].theirs is None else [measures[0].theirs]
    return [*first, *(measure.ours for measure in measures)]


def _split(split: str, rarity: Sequence[RareCombinations], names: Sequence[str]) -> list[Block]:
    blocks: list[Block] = []
    gaps = [found.gap for found in rarity if found.gap is not None]
    blocks.append(_gaps(split, gaps, names) if gaps else Text(_NO_GAP))
    compared = int(len(names) > 1)  # then the first is in every figure
    figures = [_figure(found, run_color(number)) for number, found in enumerate(rarity, start=compared)]
    blocks += figures if len(figures) <= _OPEN else [Details(f"{len(figures)} figures, one a run", figures)]
    blocks.append(Details("By group", [_groups(split, rarity, names)]))
    pairs = _rarest(rarity[-1])
    if pairs:
        blocks.append(Details(f"The {len(pairs)} rarest pairs", [_pairs(split, rarity[-1], names[-1], pairs)]))
    return blocks


def _gaps(split: str, gaps: Sequence[MatchedGap], names: Sequence[str]) -> Table:
    parts = [_estimates([getattr(gap, part) for gap in gaps]) for part in _PARTS]
    differences = [*[None] * (len(names) - len(gaps)), *(gap.gap.difference for gap in gaps)]
    rows = [
        [
            name,
            *(points(part[i].value) for part in parts[:3]),
            _reach(parts[2][i]),
            *_difference(change),
            points(parts[3][i].value),
        ]
        for i, (name, change) in enumerate(zip(names, differences, strict=True))
    ]
    header = ["run", "familiar", "unfamiliar", "gap", "95 % over images", "against the first", "95 %", "weighted gap"]
    if len(names) == 1:
        header, rows = [*header[:5], header[-1]], [[*row[:5], row[-1]] for row in rows]
    return Table(f"mIoU % of the same classes in familiar and in unfamiliar company, {split}", header, rows)


def _figure(found: RareCombinations, color: str) -> Figure:
    names = found.ours.name if found.theirs is None else f"{found.ours.name} and {found.theirs.name}"
    return Figure(
        f"mIoU of {names} over the familiarity of what stands together, rare on the left.",
        f"mIoU of {names} over the familiarity of combinations.",
        figure_to_svg(combinations_figure(found, color)),
    )


def _groups(split: str, rarity: Sequence[RareCombinations], names: Sequence[str]) -> Table:
    rows = []
    for index, group in enumerate(rarity[0].groups):
        measures = [found.groups[index].mean_iou for found in rarity]
        rows.append([*_group(group), *(points(estimate.value) for estimate in _estimates(measures))])
        if len(names) == 2:
            rows[-1] += _difference(measures[0].difference)
    header = ["units", "number", "images", "classes", *names]
    header += ["difference", "95 % over images"] if len(names) == 2 else []
    return Table(f"mIoU % on {split} by how familiar the company is", header, rows)


def _group(group: GroupScore) -> list[str]:
    return [f"{group.unit}s, {group.group}", f"{group.units:,}", f"{group.images:,}", str(group.classes)]


def _rarest(found: RareCombinations) -> list[PairEffect]:
    known = [pair for pair in found.pairs if min(pair.images, pair.other_images) >= ENOUGH]
    return sorted(known, key=lambda pair: pair.score)[:_SHOWN]


def _pairs(split: str, found: RareCombinations, name: str, pairs: Sequence[PairEffect]) -> Table:
    rows = [
        [
            f"{pair.name} beside {pair.partner}",
            f"{pair.training:,}",
            f"{pair.expected:,.1f}",
            f"{pair.images:,}",
            points(pair.together.ours.value),
            points(pair.apart.ours.value),
            signed(pair.effect.ours.value),
            interval_text(pair.effect.ours.interval),
        ]
        for pair in pairs
    ]
    header = ["pair", "in training", "by chance", f"on {split}", "IoU beside it", "IoU elsewhere", "difference"]
    return Table(f"{name}, pairs in at least {ENOUGH} images", [*header, "95 % over images"], rows)


def _reach(estimate: Estimate) -> str:
    return "–" if estimate.interval is None else " to ".join(map(points, estimate.interval))


def _difference(estimate: Estimate | None) -> list[str]:
    return ["–", "–"] if estimate is None else [signed(estimate.value), interval_text(estimate.interval)]
