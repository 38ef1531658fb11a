"""The first lines of a report: the numbers that matter, with how sure they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from classaware.evaluation.comparable import aligned_counts
from classaware.evaluation.comparison import RESAMPLES
from classaware.evaluation.formatting import interval_text, points, signed
from classaware.evaluation.record import EvaluationRecord
from classaware.evaluation.statistics import Floats, Interval, nan_mean, percentile_interval, resampled_iou
from classaware.insight.report_blocks import Block, Link, Number, Numbers, Table, Text
from classaware.insight.report_rarity import GAP, gap_of
from classaware.insight.runs import Findings

_SURE = (
    "95 % intervals say what to expect on other images, for these very networks; other seeds are not in them "
    "('classaware compare' takes several)."
)

_LOWER = "(lower is better)"


@dataclass(frozen=True)
class Row:
    """One number of every run, with the 95 % interval of one run's value or of two runs' difference."""

    label: str
    values: Sequence[float | None]
    interval: Interval | None = None
    percent: bool = True
    headline: bool = True

    @property
    def difference(self) -> float | None:
        """Of two runs, the second's value minus the first's."""
        if len(self.values) != 2:
            return None
        first, second = self.values
        return None if first is None or second is None else second - first


def summary_blocks(findings: Findings) -> Sequence[Block]:
    """Tiles of one or two runs, a table of all, and the way to the explorer."""
    rows = summary_rows(findings)
    blocks: list[Block] = []
    if len(findings.runs) <= 2:
        blocks.append(Numbers([_tile(row, findings.names) for row in rows if row.headline]))
    if len(findings.runs) == 2:
        first, second = findings.names
        blocks.insert(0, Text(f"Differences are {second} minus {first}; under each, both values.", quiet=True))
        header = ["", *findings.names, "difference", "95 % over images"]
        cells = [[row.label, *_values(row), _change(row), _reach(row)] for row in rows]
    else:
        header, cells = ["", *findings.names], [[row.label, *_values(row)] for row in rows]
    if len(findings.runs) > 1:
        blocks.append(Table("In numbers", header, cells))
    if len(findings.runs) > 2:
        blocks += _differences(findings)
    blocks.append(Text(_SURE, quiet=True))
    if findings.explorer is not None:
        note = "Point at a pixel: which pixels are like it, what each network sees there and how sure it is."
        blocks.append(Link("Open the explorer", findings.explorer, note))
    return blocks


def summary_rows(findings: Findings) -> list[Row]:
    """The numbers in their order: by split mIoU, that of things, and the gap of rare combinations; then dependency."""
    rows = []
    for split in findings.splits:
        records = [run.records[split] for run in findings.runs]
        everything = range(len(records[0].class_names))
        resampled = _resample(records)
        rows.append(Row(f"mIoU %, {split}", [r.mean_iou for r in records], _interval(resampled, everything)))
        if findings.things:
            things = [record.scores.mean_iou_over(findings.things) for record in records]
            reach = _interval(resampled, findings.things)
            rows.append(Row(f"mIoU % of things, {split}", things, reach, headline=False))
        gaps, estimate = gap_of(findings.rarity.get(split, ()))
        if estimate is not None:
            rows.append(Row(f"{GAP} %, {split} {_LOWER}", gaps, estimate.interval))
    if findings.dependency is not None:
        cosine = findings.dependency.forms["cosine"]
        last = findings.names[-1]
        sure = (cosine.differences if len(findings.runs) > 1 else cosine.means)[last].interval
        values = [cosine.means[name].value for name in findings.names]
        what = f"likeness of the classes' centers (mean cosine), {' and '.join(findings.splits)} {_LOWER}"
        rows.append(Row(what, values, sure, percent=False))
    return rows


def _resample(records: Sequence[EvaluationRecord]) -> Floats | None:
    """IoU of one or two runs in the same resamples of images, (runs, resamples, K); as `compare` draws them."""
    if len(records) > 2 or len(records[0].names) < 2:
        return None
    return resampled_iou(aligned_counts(records), RESAMPLES)


def _interval(resampled: Floats | None, classes: Sequence[int]) -> Interval | None:
    """Of one run's mean over some classes, or of two runs' difference of it."""
    if resampled is None:
        return None
    means = nan_mean(resampled[..., list(classes)], axis=2)
    return percentile_interval(means[0] if len(means) == 1 else means[1] - means[0])


def _differences(findings: Findings) -> list[Block]:
    """Of several runs, each against the first."""
    return [
        Table(
            f"mIoU on {split} against {findings.runs[0].name}, points",
            ["run", "mIoU %", "difference", "95 % over images"],
            [
                [
                    found.ours.name,
                    points(found.ours.mean),
                    signed(found.difference),
                    interval_text(found.image_interval),
                ]
                for found in comparisons
            ],
        )
        for split, comparisons in findings.comparisons.items()
    ]


def _tile(row: Row, names: Sequence[str]) -> Number:
    sure = "" if row.interval is None else f"95 %: {_reach(row)}"
    if len(names) == 1:
        return Number(_values(row)[0], row.label, sure)
    first, second = _values(row)
    return Number(_change(row), row.label, f"{first} → {second}{'; ' if sure else ''}{sure}")


def _values(row: Row) -> list[str]:
    return [_value(value, row.percent) for value in row.values]


def _value(value: float | None, percent: bool) -> str:
    if value is None or math.isnan(value):
        return "–"
    return points(value) if percent else f"{value:.3f}"


def _change(row: Row) -> str:
    if row.difference is None or math.isnan(row.difference):
        return "–"
    return signed(row.difference) if row.percent else f"{round(row.difference, 3) + 0.0:+.3f}"


def _reach(row: Row) -> str:
    if row.interval is None:
        return "–"
    if len(row.values) == 1:
        return " to ".join(_value(end, row.percent) for end in row.interval)
    if row.percent:
        return interval_text(row.interval)
    low, high = (round(end, 3) + 0.0 for end in row.interval)
    return f"{low:+.3f} to {high:+.3f}"
