"""Class dependency in tables and sentences, and cell by cell."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from classaware.evaluation.formatting import Rows, short_probability
from classaware.insight.dependency import Form
from classaware.insight.dependency_sides import DependencySides, SideContrast, SideNumbers
from classaware.insight.dependency_summary import COMPARABLE, Change, Dependency, DependencySummary, Estimate

Titled = tuple[str, tuple[list[str], Rows], int]  # its title, head and rows, and how many columns are names

_ALIKE = 1.05  # scales that differ by less are the same
_MEANS = "Mean dependency"
_DASH = "–"


def tables(summary: DependencySummary, sides: DependencySides | None, form: Form) -> list[Titled]:
    """Means of all forms, then the pairs of one: of the sides where there are two, else of the networks."""
    scales = [[name, str(summary.channels[name]), f"{summary.scales[name]:.3g}"] for name in summary.names]
    found: list[Titled] = [("Features", (["network", "channels", "scale"], scales), 1)]
    if sides is None:
        found.append((_MEANS, _network_means(summary), 2))
        part = summary.forms[form]
        first = summary.names[0]
        for name in summary.names:
            found.append(_strongest(summary, part.strongest[name], name, form))
        for name in summary.names[1:]:
            found += _changes(summary, part.up[name], part.down[name], (first, name), form)
        return found
    contrast = sides.forms[form]
    found += [(f"{_MEANS} of a network", _run_means(summary), 1), (f"{_MEANS} of a side", _side_means(sides), 2)]
    for side, numbers in ((sides.ours, contrast.ours), (sides.theirs, contrast.theirs)):
        found.append(_strongest(summary, numbers.strongest, side.name, form))
    return found + _changes(summary, contrast.up, contrast.down, (sides.theirs.name, sides.ours.name), form)


def _network_means(summary: DependencySummary) -> tuple[list[str], Rows]:
    several = len(summary.names) > 1
    head = ["form", "network", "mean", "95 %", *(["to first", "95 %"] if several else [])]
    rows = []
    for form, part in summary.forms.items():
        for name in summary.names:
            row = [form, name, *_cells(part.means[name], form)]
            change = part.differences.get(name)
            blank = [_DASH, _DASH] if several else []
            rows.append([*row, *(blank if change is None else _cells(change, form, "+"))])
    return head, rows


def _run_means(summary: DependencySummary) -> tuple[list[str], Rows]:
    forms = summary.forms.items()
    rows = [[name, *(_number(part.means[name].value, form) for form, part in forms)] for name in summary.names]
    return ["network", *summary.forms], rows


def _side_means(sides: DependencySides) -> tuple[list[str], Rows]:
    rows = []
    for form, contrast in sides.forms.items():
        for side, numbers in ((sides.ours, contrast.ours), (sides.theirs, contrast.theirs)):
            rows.append([form, side.name, *_side_cells(numbers, form), ""])
        rows.append([form, "difference", *_difference_cells(contrast, form)])
    return ["form", "side", "mean", "95 %", "sd", "p"], rows


def _side_cells(numbers: SideNumbers, form: Form) -> list[str]:
    return [*_cells(numbers.mean, form), _spread(numbers.sd, form)]


def _difference_cells(contrast: SideContrast, form: Form) -> list[str]:
    spread = _spread(contrast.difference_sd, form)
    return [*_cells(contrast.difference, form, "+"), spread, short_probability(contrast.test)]


def _strongest(summary: DependencySummary, pairs: Sequence[Dependency], name: str, form: Form) -> Titled:
    names = summary.class_names
    rows = [[names[pair.of], names[pair.on], _number(pair.value, form)] for pair in pairs]
    return f"Strongest in {name} ({form})", (["class", "on", "value"], rows), 2


def _changes(
    summary: DependencySummary, up: Sequence[Change], down: Sequence[Change], names: tuple[str, str], form: Form
) -> list[Titled]:
    first, other = names
    found: list[Titled] = []
    for word, changes in (("more", up), ("less", down)):
        rows = [
            [
                *(summary.class_names[change.of], summary.class_names[change.on]),
                *(_number(value, form) for value in (change.first, change.other)),
                _number(change.difference, form, "+"),
            ]
            for change in changes
        ]
        head = ["class", "on", first, other, "difference"]
        if rows:
            found.append((f"By most {word} in {other} than in {first} ({form})", (head, rows), 2))
    return found


def sentences(summary: DependencySummary, sides: DependencySides | None) -> list[str]:
    """What the numbers mean, and what they may be compared with."""
    found = ["paper, unit: mean over classes of their dependency on all others, in %; cosine: mean of two classes."]
    interval = "interval over images, for these networks (seeds not included)"
    if sides is None:
        several = f" to first: minus {summary.names[0]}, of the same images." if len(summary.names) > 1 else ""
        found[0] += f" 95 %: {interval}.{several}"
    else:
        found[0] += f" difference: {sides.ours.name} minus {sides.theirs.name}. 95 %: {interval}. {_over_runs(sides)}"
    return found + [f"{name}: {use}." for name, use in COMPARABLE.items()] + warnings(summary)


def _over_runs(sides: DependencySides) -> str:
    test = next(iter(sides.forms.values())).test
    if test.undefined is not None:
        return f"{test.kind.capitalize()} t-test over runs: {test.undefined}."
    pairing = "paired by their seeds" if sides.paired_by else "not paired: the sides have not the same seeds"
    return (
        f"sd, p: over the runs, {pairing} ({test.kind} t-test, {test.degrees:.3g} degrees of freedom); "
        "what to expect of other seeds, on these very images."
    )


def warnings(summary: DependencySummary) -> list[str]:
    """What must not be compared between these networks."""
    found = []
    scales = [scale for scale in summary.scales.values() if scale > 0]
    if scales and max(scales) > _ALIKE * min(scales):
        factor = max(scales) / min(scales)
        found.append(f"The features' scales differ {factor:.3g} times: do not compare these networks by 'paper'.")
    if len(set(summary.channels.values())) > 1:
        found.append("The numbers of channels differ: do not compare these networks by 'paper' or 'unit'.")
    return found


def _cells(estimate: Estimate, form: Form, sign: str = "") -> list[str]:
    """Value and interval, to the same digits."""
    ends = estimate.interval or ()
    style = _style([estimate.value, *ends], form)
    value, *both = (_styled(number, form, sign + style) for number in (estimate.value, *ends))
    return [value, "..".join(both) or _DASH]


def _spread(value: float | None, form: Form) -> str:
    return _DASH if value is None else _number(value, form)


def _number(value: float, form: Form, sign: str = "") -> str:
    return _styled(value, form, sign + _style([value], form))


def _styled(value: float, form: Form, style: str) -> str:
    """Fractions as percent without its sign, cosines as they are."""
    if math.isnan(value):
        return _DASH
    text = format(value if form == "cosine" else 100 * value, style)
    # A difference that is rounded to nothing is neither + nor -.
    return text if float(text) else text.lstrip("+-")


def _style(values: Sequence[float], form: Form) -> str:
    if form == "cosine":
        return ".3f"
    greatest = max(map(abs, values))
    return ".1e" if 0 < greatest < 5e-4 else ".2f"


def dependency_csv(summary: DependencySummary) -> str:
    """One line a network and pair of classes that are present, with the value of every form."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "class", "on", *summary.forms])
    present = np.flatnonzero(summary.present_K).tolist()
    for name in summary.names:
        maps = [part.maps[name].tolist() for part in summary.forms.values()]
        for of in present:
            for on in present:
                writer.writerow([name, summary.class_names[of], summary.class_names[on], *(m[of][on] for m in maps)])
    return text.getvalue()
