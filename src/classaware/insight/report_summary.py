"""The first lines of a report: the numbers that matter, with how sure they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from classaware.evaluation.comparable import aligned_counts
from classaware.evaluation.comparison import RESAMPLES
from classaware.evaluation.formatting import interval_text, points, signed
from classaware.evaluation.record import EvaluationRecord
from classaware.evaluation.statistics import Interval, nan_mean, percentile_interval, resampled_iou
from classaware.insight.report_blocks import Block, Link, Number, Numbers, Table, Text
from classaware.insight.report_rarity import GAP, gap_of
from classaware.insight.runs import Findings

_SURE = (
    "95 % intervals say what to expect on other images, for these very networks; other seeds are not in them "
    "('classaware compare' takes several)."
)


@dataclass(frozen=True)
class Row:
    """One number of every run; of two runs also the second's minus the first's, and its interval."""

    label: str
    values: Sequence[float | None]
    difference: float | None = None
    interval: Interval | None = None
    percent: bool = True
    headline: bool = True


def summary_blocks(findings: Findings) -> Sequence[Block]:
    """Tiles of one or two runs, a table of all, and the way to the explorer."""
    rows = summary_rows(findings)
    blocks: list[Block] = []
    if len(findings.runs) <= 2:
        blocks.append(Numbers([_tile(row, findings.names) for row in rows if row.headline]))
    if len(findings.runs) == 2:
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
        comparisons = findings.comparisons.get(split, ())
        pair = comparisons[0] if len(findings.runs) == 2 and comparisons else None
        means = [record.mean_iou for record in records]
        difference, interval = (None, None) if pair is None else (pair.difference, pair.image_interval)
        rows.append(Row(f"mIoU %, {split}", means, difference, interval))
        if findings.things:
            rows.append(_things(split, records, findings.things))
        rows += _gap(split, findings)
    if findings.dependency is not None:
        cosine = findings.dependency.forms["cosine"]
        second = cosine.differences.get(findings.names[-1]) if len(findings.runs) == 2 else None
        difference, interval = (None, None) if second is None else (second.value, second.interval)
        values_of = [cosine.means[name].value for name in findings.names]
        rows.append(
            Row("likeness of the classes' centers (mean cosine)", values_of, difference, interval, percent=False)
        )
    return rows


def _gap(split: str, findings: Findings) -> list[Row]:
    values, change = gap_of(findings.rarity.get(split, ()))
    if not values:
        return []
    pair = change if len(values) == 2 else None
    difference, interval = (None, None) if pair is None else (pair.value, pair.interval)
    return [Row(f"{GAP} %, {split}", values, difference, interval)]


def _things(split: str, records: Sequence[EvaluationRecord], things: Sequence[int]) -> Row:
    values = [record.scores.mean_iou_over(things) for record in records]
    label = f"mIoU % of things, {split}"
    if len(records) != 2:
        return Row(label, values, headline=False)
    iou = resampled_iou(aligned_counts(records), RESAMPLES)[..., list(things)]
    first, second = nan_mean(iou, axis=2)
    interval = percentile_interval(second - first) if len(records[0].names) > 1 else None
    return Row(label, values, values[1] - values[0], interval, headline=False)


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
    if len(names) == 1:
        return Number(_values(row)[0], row.label, "" if row.interval is None else f"95 %: {_reach(row)}")
    first, second = _values(row)
    sure = "" if row.interval is None else f"; 95 %: {_reach(row)}"
    return Number(_change(row), row.label, f"{first} → {second}{sure}")


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
    if row.interval is None or row.percent:
        return interval_text(row.interval)
    low, high = (round(end, 3) + 0.0 for end in row.interval)
    return f"{low:+.3f} to {high:+.3f}"
