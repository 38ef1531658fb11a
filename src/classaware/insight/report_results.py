"""What every class scores, and what changed in it."""

import math
from collections.abc import Sequence
from dataclasses import replace

from classaware.evaluation.comparison import Comparison
from classaware.evaluation.description import describe
from classaware.evaluation.formatting import interval_text, points, signed
from classaware.evaluation.record import EvaluationRecord
from classaware.insight.comparison_plot import comparison_figure
from classaware.insight.figures import figure_to_svg
from classaware.insight.report_blocks import Block, Details, Figure, Heading, Table, Text
from classaware.insight.report_provenance import data_name
from classaware.insight.runs import Findings

_MANY = 30  # classes, from which on their table is folded away


def result_blocks(findings: Findings) -> Sequence[Block]:
    """By split: how it was evaluated, for two runs the differences as a figure, and a table of all classes."""
    blocks: list[Block] = []
    for split in findings.splits:
        records = [run.records[split] for run in findings.runs]
        comparisons = findings.comparisons.get(split, ())
        blocks += [Heading(split), *(Text(line, quiet=True) for line in dict.fromkeys(map(_described, records)))]
        blocks += [Text(warning) for warning in dict.fromkeys(w for found in comparisons for w in found.warnings)]
        if len(comparisons) == 1:
            blocks += _figure(comparisons[0])
            table = _two(split, comparisons[0])
        elif comparisons:
            table = _several(split, findings.names, records)
        else:
            table = _one(split, records[0])
        folded = len(table.rows) > _MANY or len(comparisons) == 1
        blocks.append(Details(f"All {len(table.rows)} classes of {split} as a table", [table]) if folded else table)
    return blocks


def _described(record: EvaluationRecord) -> str:
    return describe(replace(record, data=record.data | {"name": data_name(record)}))


def _figure(found: Comparison) -> list[Block]:
    differences = [(row.name, row.difference, row.interval) for row in found.classes if row.difference is not None]
    if not differences:
        return []
    sides = {side.name: side.mean_ious for side in (found.ours, found.theirs)}
    ranked = sorted(differences, key=lambda row: row[1])
    most = f"{ranked[-1][0]} {signed(ranked[-1][1])}, {ranked[0][0]} {signed(ranked[0][1])}"
    return [
        Figure(
            f"What changed from {found.theirs.name} to {found.ours.name}, class by class. Most and least: {most}.",
            f"IoU of {found.ours.name} minus {found.theirs.name} of every class, sorted. Most and least: {most}.",
            figure_to_svg(comparison_figure(differences, sides, found.image_interval)),
        )
    ]


def _two(split: str, found: Comparison) -> Table:
    rows = [
        [row.name, points(row.theirs), points(row.ours), signed(row.difference), interval_text(row.interval)]
        for row in found.classes
    ]
    header = ["class", found.theirs.name, found.ours.name, "difference", "95 % over images"]
    return Table(f"IoU % on {split}", header, rows)


def _several(split: str, names: Sequence[str], records: Sequence[EvaluationRecord]) -> Table:
    rows = [
        [name, *(_percent(record.iou[index]) for record in records)]
        for index, name in enumerate(records[0].class_names)
    ]
    return Table(f"IoU % on {split}", ["class", *names], rows)


def _one(split: str, record: EvaluationRecord) -> Table:
    scores = record.scores
    boundary = scores.boundary_iou or (math.nan,) * len(scores.iou)
    rows = [
        [name, *map(_percent, (iou, accuracy, near_edges)), f"{pixels:,}"]
        for name, iou, accuracy, near_edges, pixels in zip(
            scores.class_names, scores.iou, scores.accuracy, boundary, scores.pixels, strict=True
        )
    ]
    return Table(f"Classes on {split}", ["class", "IoU %", "accuracy %", "boundary IoU %", "pixels"], rows)


def _percent(value: float) -> str:
    return points(None if math.isnan(value) else value)
