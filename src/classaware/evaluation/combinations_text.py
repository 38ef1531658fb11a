"""Scores by the familiarity of combinations in sentences, and as Markdown."""

from classaware.evaluation.combinations_tables import long_tables
from classaware.evaluation.formatting import escaped, interval_text, markdown_table, points, signed, t_test_sentence
from classaware.evaluation.rare_combinations import RareCombinations
from classaware.evaluation.side_by_side import ENOUGH, Estimate, Measure

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


_LEAST = 0.05  # mIoU


def sentences(result: RareCombinations) -> list[str]:
    """What is familiar, the matched gap, and what the intervals cover."""
    least = f", from {result.min_pixels:,} pixels of each on" if result.min_pixels > 1 else ""
    lines = [
        f"{result.images:,} images, by {result.training_images:,} training images. Two classes are together if they "
        f"{_TOGETHER[result.together]}{least}; a pair's lift is how many times as often as by chance they are. A pair "
        f"is rare below a lift of {result.rare:g}, and the least familiar pair of an image or region decides."
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
        f"Matched gap of regions, mIoU in familiar company (lift of at least 1) minus mIoU in rare or never "
        f"seen company, over the {len(gap.classes)} classes that have both: {_stated(result, gap.gap)}."
    )
    lines += [
        f"{side.name} hardly finds these classes even in familiar company (mIoU {points(estimate.value)} %): its gap "
        "says nothing, for what is never found cannot be lost."
        for side, estimate in ((result.ours, gap.familiar.ours), (result.theirs, gap.familiar.theirs))
        if side is not None and estimate is not None and estimate.value is not None and estimate.value < _LEAST
    ]
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
    for heading, (head, rows), _ in long_tables(result):
        if rows:
            parts += [f"## {escaped(heading)}", "", *markdown_table(head, rows), ""]
    parts += ["## What was evaluated", "", *(f"* {escaped(line)}" for line in result.descriptions), ""]
    for side in (result.ours, result.theirs):
        if side is not None:
            parts += [f"Files of {escaped(side.name)}:", "", *(f"* {escaped(path)}" for path in side.paths), ""]
    return "\n".join(parts)


def _stated(result: RareCombinations, measure: Measure) -> str:
    def one(estimate: Estimate) -> str:
        return f"{signed(estimate.value)} points (95 % interval {interval_text(estimate.interval)})"

    if result.theirs is None or measure.theirs is None or measure.difference is None:
        return one(measure.ours)
    return (
        f"{result.ours.name} {one(measure.ours)}, {result.theirs.name} {one(measure.theirs)}, difference "
        f"{one(measure.difference)}"
    )
