"""What each class gains or loses beside each other one, as a table for other programs."""

import csv
import io
from collections.abc import Sequence

from classaware.evaluation.pair_effects import Contrast, PairEffect
from classaware.evaluation.rare_combinations import RareCombinations


def pairs_csv(result: RareCombinations) -> str:
    """One row a class and partner; fractions, empty where undefined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [side.name for side in (result.ours, result.theirs) if side is not None]
    names += [f"{names[0]} - {names[1]}"] if len(names) == 2 else []
    facts = ["class", "partner", "category", "training", "expected", "lift", "score", "images", "other_images"]
    parts = ("together", "apart", "effect")
    numbers = [f"{name}: {part}{end}" for part in parts for name in names for end in ("", " low", " high")]
    writer.writerow([*facts, *numbers])
    for row in result.pairs:
        writer.writerow([*_facts(row), *_numbers([row.together, row.apart, row.effect])])
    return text.getvalue()


def _facts(row: PairEffect) -> list[str | int | float | None]:
    return [
        *(row.name, row.partner, row.category, row.training, row.expected, row.lift, row.score),
        *(row.images, row.other_images),
    ]


def _numbers(contrasts: Sequence[Contrast]) -> list[float | None]:
    found: list[float | None] = []
    for contrast in contrasts:
        for estimate in (contrast.ours, contrast.theirs, contrast.difference):
            if estimate is not None:
                found += [estimate.value, *(estimate.interval or (None, None))]
    return found
