"""How much the classes look alike to each network: maps, means, and what changed most."""

import math
from collections.abc import Sequence

from classaware.insight.dependency import Form
from classaware.insight.dependency_summary import COMPARABLE, Change, Dependency, DependencySummary, Estimate
from classaware.insight.exhibits import dependency_exhibit
from classaware.insight.report_blocks import Block, Details, Table, Text
from classaware.insight.runs import Findings

_FORMS: dict[Form, str] = {
    "paper": "Eq. 4 as printed",
    "unit": "Eq. 4 at unit scale",
    "cosine": "cosine of centers",
}
_SHOWN = 5  # pairs up and down
_SMALL = 5e-4  # below it three decimals, or two of percent, say nothing


def dependency_blocks(findings: Findings) -> Sequence[Block]:
    """The maps of all runs on one scale, their means, and the pairs that changed most from the first run."""
    summary = findings.dependency
    if summary is None:
        return []
    form = summary.comparable_form
    blocks: list[Block] = [
        Text(_images(findings)),
        dependency_exhibit(summary.present_maps(form), summary.present_names, form),
    ]
    remark = "; ".join(f"{title}: {COMPARABLE[form]}" for form, title in _FORMS.items())
    blocks += [_means(summary), Text(f"{remark}.", quiet=True)]
    changed = [block for name in summary.names[1:] for block in _changes(summary, name, form)]
    if changed:
        blocks.append(Details("The pairs that changed most", changed))
    elif len(summary.names) > 1:  # one network under two names, such as a last checkpoint that is the best as well
        blocks.append(Text("No pair changed."))
    else:
        blocks.append(Details("The strongest pairs", [_strongest(summary, form)]))
    return blocks


def _images(findings: Findings) -> str:
    records = findings.runs[0].records
    images = [f"{len(records[split].names):,} of {split}" for split in findings.splits]
    together = " together" if len(images) > 1 else ""
    return f"Of the centers of the classes in all images: {' and '.join(images)}{together}."


def _title(form: Form) -> str:
    return _FORMS[form] if form == "cosine" else f"{_FORMS[form]}, %"


def _means(summary: DependencySummary) -> Table:
    several = len(summary.names) > 1
    rows = []
    for form in _FORMS:
        for name in summary.names:
            estimate = summary.forms[form].means[name]
            change = summary.forms[form].differences.get(name)
            rows.append(
                [_title(form), name, *_cells(estimate, form), *(_change_cells(change, form) if several else ())]
            )
    header = ["form", "run", "mean", "95 % over images"]
    header += ["against the first", "95 % of that"] if several else []
    return Table("Mean dependency of a class on all others", header, rows)


def _changes(summary: DependencySummary, name: str, form: Form) -> list[Block]:
    found = summary.forms[form]
    changes: list[Change] = [*found.up[name][:_SHOWN], *reversed(found.down[name][:_SHOWN])]
    rows = [
        [
            _pair(summary, change),
            *(_number(value, form) for value in (change.first, change.other)),
            _signed(change.difference, form),
        ]
        for change in changes
    ]
    title = f"From {summary.names[0]} to {name}, {_title(form)}"
    return [Table(title, ["dependency of", summary.names[0], name, "difference"], rows)] if rows else []


def _strongest(summary: DependencySummary, form: Form) -> Table:
    (name,) = summary.names
    rows = [[_pair(summary, pair), _number(pair.value, form)] for pair in summary.forms[form].strongest[name]]
    return Table(f"Strongest, {_title(form)}", ["dependency of", name], rows)


def _pair(summary: DependencySummary, pair: Dependency | Change) -> str:
    return f"{summary.class_names[pair.of]} on {summary.class_names[pair.on]}"


def _cells(estimate: Estimate, form: Form) -> list[str]:
    interval = estimate.interval
    reach = "–" if interval is None else " to ".join(_number(end, form) for end in interval)
    return [_number(estimate.value, form), reach]


def _change_cells(estimate: Estimate | None, form: Form) -> list[str]:
    if estimate is None:
        return ["–", "–"]
    interval = estimate.interval
    reach = "–" if interval is None else " to ".join(_signed(end, form) for end in interval)
    return [_signed(estimate.value, form), reach]


def _signed(value: float, form: Form) -> str:
    return f"+{_number(value, form)}" if value > 0 else _number(value, form)


def _number(value: float, form: Form) -> str:
    """Fractions as percent without its sign, cosines as they are: as the command line prints them."""
    if math.isnan(value):
        return "–"
    if value != 0 and abs(value) < (_SMALL if form == "cosine" else _SMALL / 10):
        return f"{value if form == 'cosine' else 100 * value:.1e}"
    return f"{value:.3f}" if form == "cosine" else f"{100 * value:.2f}"
