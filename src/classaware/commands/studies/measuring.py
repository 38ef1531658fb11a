"""What is measured of a trained cell."""

from dataclasses import replace
from pathlib import Path

from classaware.commands.evaluate import Evaluation
from classaware.commands.evaluations import stored_or_new
from classaware.commands.inference import build_inference, pick_device
from classaware.commands.insight.dependency import measure
from classaware.commands.networks import open_networks
from classaware.commands.studies.work import Order
from classaware.commands.subjects import make_subjects
from classaware.data import SegmentationDataset
from classaware.data.pairs import count_pairs
from classaware.evaluation.combinations import read_combinations
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.rare_combinations import RareCombinations, rare_combinations
from classaware.evaluation.record import EvaluationRecord, write_record
from classaware.evaluation.statistics import or_none
from classaware.insight.subject import Subject
from classaware.study.cell import CellResult, SplitNumbers, evaluation_path, write_cell
from classaware.study.plan import Cell
from classaware.training.card import LAST
from classaware.training.folder import without_places


def measure_cell(order: Order) -> None:
    """Evaluate the last checkpoint on every split, by familiarity and class dependency too, and write the cell."""
    (named,), dataset, arguments = open_networks([str(order.run / LAST)], None, None)
    device = pick_device(order.device)
    subject = make_subjects([str(order.cell)], [named], device)[0]
    familiarity = _familiarity(dataset, order.train_split)
    splits = {}
    for split in order.splits:
        inference = build_inference(None, named.card, named.given)
        evaluation = Evaluation(named, dataset, arguments, split, inference, device)
        record = stored_or_new(evaluation, [order.run], evaluation_path(order.run, split), num_workers=0)
        write_record(evaluation_path(order.result, split), portable_record(record, order.cell))
        splits[split] = _numbers(record, subject, dataset, familiarity)
    step = named.provenance["step"]
    write_cell(order.result, CellResult(order.cell, order.arguments, step, splits, order.train_split))


def portable_record(record: EvaluationRecord, cell: Cell) -> EvaluationRecord:
    """An evaluation without places on this machine, for cells are given away."""
    place = {"path": (Path("runs") / cell.folder / LAST).as_posix()}
    parts = {"data": without_places(record.data), "training": without_places(record.training)}
    return replace(record, checkpoint=record.checkpoint | place, **parts)


def _familiarity(dataset: SegmentationDataset, train_split: str | None) -> Familiarity | None:
    if train_split is None:
        return None
    return Familiarity(count_pairs(dataset, train_split, workers=0, together="touching"))


def _numbers(
    record: EvaluationRecord, subject: Subject, dataset: SegmentationDataset, familiarity: Familiarity | None
) -> SplitNumbers:
    split = str(record.data["split"])
    things = getattr(dataset, "things", None)
    rarity = _rarity(record, dataset, split, familiarity)
    groups = [group for group in rarity.groups if group.unit == "region"] if rarity else []
    summary = measure([subject], dataset, [split])
    return SplitNumbers(
        mean_iou=record.mean_iou,
        things=or_none(record.scores.mean_iou_over(things)) if things else None,
        regions={group.group: group.units for group in groups},
        groups={group.group: group.mean_iou.ours.value for group in groups},
        gap=rarity.gap.gap.ours.value if rarity and rarity.gap else None,
        dependency={form: or_none(found.means[subject.name].value) for form, found in summary.forms.items()},
    )


def _rarity(
    record: EvaluationRecord, dataset: SegmentationDataset, split: str, familiarity: Familiarity | None
) -> RareCombinations | None:
    if familiarity is None:
        return None
    combinations = read_combinations(dataset, split, workers=0)
    return rare_combinations([record], None, combinations, familiarity, ["cell"])
