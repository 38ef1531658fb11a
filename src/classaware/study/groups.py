"""What a study shows of one network on one split: every variant, and its contrasts with the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from classaware.evaluation.comparison import Comparison, compare
from classaware.evaluation.statistics import or_none
from classaware.study.cell import SplitNumbers
from classaware.study.contrast import Contrast, Values, contrast
from classaware.study.loading import DoneCell
from classaware.study.plan import Cell, Study

QUANTITIES = ("mIoU", "things", "familiar", "rare", "never", "gap", "dependency")

# What depends on where and when the files were written, or stands elsewhere in the results.
_NOT_KEPT = ("format", "version", "evaluated", "unequal", "configured")


@dataclass(frozen=True)
class VariantResult:
    """One variant on one split.

    Attributes:
        name: of the variant.
        values: of every quantity by seed; None where it is undefined. "gap" is the matched gap, "dependency" the mean
            cosine between the centers of classes; a quantity that no training of the group has is left out.
        contrasts: of the same quantities against the baseline; empty for the baseline and where that is missing.
        holm: p of the contrast of mIoU, adjusted for all of them in the study; None where there is none.
        comparison: class by class and over images, of the trainings whose seeds both sides have; else None.
    """

    name: str
    values: Mapping[str, Values]
    contrasts: Mapping[str, Contrast]
    holm: float | None = None
    comparison: Comparison | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        content = asdict(self)
        if self.comparison is not None:
            found = {key: value for key, value in self.comparison.to_dict().items() if key not in _NOT_KEPT}
            for side in ("ours", "theirs"):
                found[side] = {key: value for key, value in found[side].items() if key != "paths"}
            content["comparison"] = found
        return content


@dataclass(frozen=True)
class SplitResult:
    """What is compared with each other: one network on one split of one data set.

    Attributes:
        dataset: its name in the study.
        network: the same.
        split: of the data set.
        variants: those of which a training is done, in the study's order.
        without: why there are no contrasts; None where the baseline is there.
    """

    dataset: str
    network: str
    split: str
    variants: tuple[VariantResult, ...]
    without: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        place = {"dataset": self.dataset, "network": self.network, "split": self.split}
        return place | {"without": self.without, "variants": [variant.to_dict() for variant in self.variants]}


def make_group(
    study: Study, done: Mapping[Cell, DoneCell], failed: Mapping[Cell, str], dataset: str, network: str, split: str
) -> SplitResult:
    """Compare all variants of one network on one split.

    Args:
        study: which has this group.
        done: cells of the study, at least one of them of this group.
        failed: cells and why.
        dataset: name in the study.
        network: the same.
        split: of the data set.

    Raises:
        InputError: evaluations that were made on other images.
    """
    sides: dict[str, dict[int, DoneCell]] = {}
    for name in study.variants:
        here = {cell.seed: found for cell, found in done.items() if cell[:3] == (dataset, network, name)}
        if here:
            sides[name] = here
    values = {name: _values([*cells.items()], split) for name, cells in sides.items()}
    known = [key for key in QUANTITIES if any(v is not None for side in values.values() for v in side[key].values())]
    values = {name: {key: side[key] for key in known} for name, side in values.items()}
    base = study.baseline
    variants = []
    for name, cells in sides.items():
        if name == base or base not in sides:
            variants.append(VariantResult(name, values[name], {}))
            continue
        contrasts = {key: contrast(values[name][key], values[base][key]) for key in known}
        comparison = _compared(cells, sides[base], split, (name, base))
        variants.append(VariantResult(name, values[name], contrasts, comparison=comparison))
    without = None if base in sides else _why((dataset, network, base), study, failed)
    return SplitResult(dataset, network, split, tuple(variants), without)


def _values(cells: Sequence[tuple[int, DoneCell]], split: str) -> dict[str, dict[int, float | None]]:
    numbers = [(seed, _quantities(cell.result.splits[split])) for seed, cell in sorted(cells, key=lambda item: item[0])]
    return {key: {seed: found[key] for seed, found in numbers} for key in QUANTITIES}


def _quantities(numbers: SplitNumbers) -> dict[str, float | None]:
    company = {key: numbers.groups.get(key) for key in ("familiar", "rare", "never")}
    rest = {"gap": numbers.gap, "dependency": numbers.dependency.get("cosine")}
    found = {"mIoU": numbers.mean_iou, "things": numbers.things, **company, **rest}
    return {key: None if value is None else or_none(value) for key, value in found.items()}


def _compared(
    ours: Mapping[int, DoneCell], theirs: Mapping[int, DoneCell], split: str, names: tuple[str, str]
) -> Comparison | None:
    seeds = sorted(set(ours) & set(theirs))
    one, other = ([side[seed].records[split] for seed in seeds] for side in (ours, theirs))
    return compare(one, other, names) if seeds else None


def _why(baseline: tuple[str, str, str], study: Study, failed: Mapping[Cell, str]) -> str:
    planned = [cell for cell in study.cells if cell[:3] == baseline]
    if not planned:
        return f"the study's grid does not have the baseline ({study.baseline}) here"
    lost = "has failed" if all(cell in failed for cell in planned) else "is not done"
    return f"the baseline ({study.baseline}) {lost}"
