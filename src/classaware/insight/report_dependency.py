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
_SMALL = 5e-4  # below it three decimals say nothing


def dependency_blocks(findings: Findings) -> Sequence[Block]:
    """The maps of all runs on one scale, their means, and the pairs that changed most from the first run."""
    summary = findings.dependency
    if summary is None:
        return []
    form = main_form(summary)
    blocks: list[Block] = [dependency_exhibit(summary.present_maps(form), summary.present_names, form)]
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


def main_form(summary: DependencySummary) -> Form:
    """The form in which the networks may be compared."""
    # Between different numbers of channels only cosines mean the same.
    return "unit" if len(set(summary.channels.values())) == 1 else "cosine"


def _means(summary: DependencySummary) -> Table:
    several = len(summary.names) > 1
    rows = []
    for form, title in _FORMS.items():
        for name in summary.names:
            estimate = summary.forms[form].means[name]
            change = summary.forms[form].differences.get(name)
            rows.append([title, name, *_cells(estimate), *(_change_cells(change) if several else ())])
    header = ["form", "run", "mean", "95 % over images"]
    header += ["against the first", "95 % of that"] if several else []
    return Table("Mean dependency of a class on all others", header, rows)


def _changes(summary: DependencySummary, name: str, form: Form) -> list[Block]:
    found = summary.forms[form]
    changes: list[Change] = [*found.up[name][:_SHOWN], *reversed(found.down[name][:_SHOWN])]
    rows = [
        [_pair(summary, change), _number(change.first), _number(change.other), _signed(change.difference)]
        for change in changes
    ]
    title = f"From {summary.names[0]} to {name}, {_FORMS[form]}"
    return [Table(title, ["dependency of", summary.names[0], name, "difference"], rows)] if rows else []


def _strongest(summary: DependencySummary, form: Form) -> Table:
    (name,) = summary.names
    rows = [[_pair(summary, pair), _number(pair.value)] for pair in summary.forms[form].strongest[name]]
    return Table(f"Strongest, {_FORMS[form]}", ["dependency of", name], rows)


def _pair(summary: DependencySummary, pair: Dependency | Change) -> str:
    return f"{summary.class_names[pair.of]} on {summary.class_names[pair.on]}"


def _cells(estimate: Estimate) -> list[str]:
    interval = estimate.interval
    return [_number(estimate.value), "–" if interval is None else " to ".join(map(_number, interval))]


def _change_cells(estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return ["–", "–"]
    interval = "–" if estimate.interval is None else " to ".join(map(_signed, estimate.interval))
    return [_signed(estimate.value), interval]


def _signed(value: float) -> str:
    return f"+{_number(value)}" if value > 0 else _number(value)


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if value == 0 or abs(value) >= _SMALL else f"{value:.1e}"
