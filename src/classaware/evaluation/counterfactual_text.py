"""A counterfactual test in sentences and tables, as Markdown, and object by object."""

import csv
import io

from classaware.evaluation.context_effects import Effect, Group
from classaware.evaluation.counterfactual import Counterfactual
from classaware.evaluation.formatting import (
    Rows,
    escaped,
    interval_text,
    markdown_table,
    points,
    probability,
    signed,
    t_test_sentence,
)

_MEANING = (
    "Context sensitivity: mean IoU of objects laid into familiar contexts (the classes touch at least as often as by "
    "chance in training) minus that in unfamiliar ones (rare there, or never seen), percentage points. Both are laid "
    "with the same soft edge, so the difference is the context's. 0: the network does not care."
)
_MOVING = (
    "Cost of moving: IoU at home minus IoU in a familiar place, of objects that have a familiar context at "
    "home: what the edge and the new place do by themselves."
)
_INTERVALS = (
    "Intervals: 95 %, bootstrap over the images that objects come from, for these very networks (other seeds are not "
    "in them); the images that they are laid into are not drawn anew."
)


_LEAST = 0.05  # IoU


def sentences(result: Counterfactual) -> list[str]:
    """The result, and in one sentence each what the numbers mean and cover."""
    lines = [_sensitivity(group) for group in result.groups]
    lines += [
        f"{group.name} hardly finds the objects even in familiar contexts (IoU {points(group.effect.iou.familiar)} %): "
        "its sensitivity says nothing, for what is never found cannot be lost."
        for group in result.groups
        if group.effect.iou.familiar < _LEAST
    ]
    if result.contrasts and result.sides is not None:
        first, (ours, theirs) = result.contrasts[0], result.sides
        pairing = "paired by their seeds" if result.paired_by else "not paired: the sides have not the same seeds"
        lines.append(
            f"Context sensitivity of {ours.name} minus {theirs.name}: {signed(first.difference)} points, 95 % interval "
            f"over images {interval_text(first.image_interval)}, over networks and images "
            f"{interval_text(first.run_and_image_interval)}. The networks are {pairing}."
        )
        lines.append(t_test_sentence(first.test))
    return [*lines, _MEANING, _MOVING, _INTERVALS, *_drawing(result)]


def as_markdown(result: Counterfactual) -> str:
    """The whole result; every name is escaped."""
    parts = [f"# Objects in other contexts: {escaped(' and '.join(group.name for group in result.groups))}", ""]
    for warning in result.warnings:
        parts += [f"**Warning.** {escaped(warning)}", ""]
    parts += [f"* {escaped(line)}" for line in sentences(result)]
    for title, (head, rows) in tables(result):
        parts += ["", f"## {title}", "", *markdown_table(head, rows)]
    return "\n".join([*parts, ""])


def as_csv(result: Counterfactual) -> str:
    """One row an object and network; fractions."""
    plan, scores = result.plan, result.measured
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    places = ("home", "familiar", "unfamiliar")
    head = ["network", "seed", "image", "class", "number", "home_context", "settled"]
    for kind in places[1:]:
        head += [f"{kind}_image", f"{kind}_top", f"{kind}_left", f"{kind}_context", f"{kind}_rarity"]
    head += [f"{what}_{kind}" for what in ("iou", "recall") for kind in places]
    writer.writerow([*head, "flips_familiar", "flips_unfamiliar"])
    for row, group in enumerate(result.networks):
        for index, move in enumerate(plan.moves):
            home = "" if move.home is None else plan.class_names[move.home]
            cells = [group.name, group.seeds[0], plan.samples[move.source].name, plan.class_names[move.class_index]]
            cells += [move.number, home, int(move.settled)]
            for place in (move.familiar, move.unfamiliar):
                cells += [plan.samples[place.host].name, *place.corner, plan.class_names[place.context], place.rarity]
            cells += [*scores.iou_Rn3[row, index], *scores.recall_Rn3[row, index], *scores.flips_Rn3[row, index, 1:]]
            writer.writerow(cells)
    return text.getvalue()


def _sensitivity(group: Group) -> str:
    effect = group.effect
    spread = "" if group.sd is None else f", sd of the {len(group.networks)} networks {points(group.sd)}"
    return (
        f"Context sensitivity of {group.name}: {signed(effect.sensitivity)} points, 95 % interval "
        f"{interval_text(effect.interval)}{spread} ({effect.objects} objects from {effect.images} images)."
    )


def _drawing(result: Counterfactual) -> list[str]:
    plan = result.plan
    kinds = {"familiar": "a familiar place", "unfamiliar": "an unfamiliar place", "both": "both places"}
    left = ", ".join(f"{plan.lacking[kind]} lack {text}" for kind, text in kinds.items() if kind in plan.lacking)
    settled = sum(move.settled for move in plan.moves)
    return [
        f"{len(plan.moves)} of {plan.found} objects in {len(plan.samples)} images of {plan.split} moved (seed "
        f"{plan.draw.seed}, edge of {plan.draw.feather} pixels); {settled} of them have a familiar context at home. "
        f"Left out: {left or 'none'} of those drawn; {plan.thin} that are too thin."
    ]


def tables(result: Counterfactual) -> list[tuple[str, tuple[list[str], Rows]]]:
    """Title, head and rows of every table: percent, all but the first column are numbers but for two in the last."""
    found = [("Networks", _networks(result))]
    if result.contrasts:
        found.append(("Ours minus theirs", _contrasts(result)))
    return [*found, ("Classes", _classes(result)), ("Places", _places(result))]


def _networks(result: Counterfactual) -> tuple[list[str], Rows]:
    sides = [side for side in result.sides or () if len(side.networks) > 1]
    head = ["", "IoU at home", "familiar", "unfamiliar", "sensitivity", "95 %", "cost of moving", "95 %"]
    head += ["flips, familiar", "unfamiliar"]
    return head, [_network(group) for group in (*result.networks, *sides)]


def _network(group: Group) -> list[str]:
    effect: Effect = group.effect
    iou, flips = effect.iou, effect.flips
    return [
        group.name,
        *map(points, (iou.home, iou.familiar, iou.unfamiliar)),
        *(signed(effect.sensitivity), interval_text(effect.interval)),
        *(signed(effect.moving), interval_text(effect.moving_interval)),
        *map(points, (flips.familiar, flips.unfamiliar)),
    ]


def _contrasts(result: Counterfactual) -> tuple[list[str], Rows]:
    names = [group.name for group in result.groups]
    rows = [
        [
            row.quantity,
            *(points(row.ours), points(row.theirs), signed(row.difference), points(row.difference_sd)),
            *(interval_text(row.image_interval), interval_text(row.run_and_image_interval)),
            "–" if row.test.p is None else probability(row.test.p),
        ]
        for row in result.contrasts
    ]
    return ["", *names, "difference", "sd of pairs", "95 % over images", "over networks and images", "p"], rows


def _classes(result: Counterfactual) -> tuple[list[str], Rows]:
    head = ["class", "objects"]
    for group in result.groups:
        head += [f"sensitivity of {group.name}", "95 %"]
    head += ["difference", "95 %"] if result.sides else []
    rows = []
    for row in result.classes:
        cells = [row.name, str(row.effects[0].objects)]
        for effect in row.effects:
            cells += [signed(effect.sensitivity), interval_text(effect.interval)]
        rows.append([*cells, *([signed(row.difference), interval_text(row.interval)] if result.sides else [])])
    return head, rows


def _places(result: Counterfactual) -> tuple[list[str], Rows]:
    head = ["class", "on", "in training", "objects"]
    for group in result.groups:
        head += [f"IoU at home of {group.name}", "there", "flips"]
    rows = []
    for row in result.places:
        cells = [row.class_name, row.context, row.rarity, str(row.objects)]
        for values in zip(row.iou_home, row.iou, row.flips, strict=True):
            cells += map(points, values)
        rows.append(cells)
    return head, rows
