"""What is to be said about the results of a study, beside its tables."""

from classaware.evaluation.comparison import Comparison
from classaware.study.contrast import Contrast
from classaware.study.groups import SplitResult, VariantResult
from classaware.study.results import StudyResults

OF_MEANS = (
    "Every training is paired with the baseline's of the same seed. Interval and p: paired t-test over the seeds; they "
    "say what to expect of trainings with other seeds, on these very images. sd: over the seeds; Holm: p adjusted for "
    "all differences of mIoU in this study."
)
OF_OTHERS = (
    "Means of the baseline in percent, then differences to it in points, with the p of the paired t-test over seeds in "
    "brackets, not adjusted for their number. things: mIoU over the classes of things. familiar, rare, never: mIoU of "
    "the regions by how often training showed their classes together. matched gap: what unfamiliar company costs the "
    "same classes, less is better. dependency: mean cosine between the centers of two classes, less is better."
)
OF_CLASSES = (
    "Means over the seeds that both sides have. The interval is over images: what to expect on other images of the "
    "same kind, for these very networks; of classes that do not differ, one in twenty leaves zero out by chance."
)
OF_FIGURE = (
    "Difference of mIoU to the baseline in points: every dot is a pair of trainings with one seed, the bar their mean, "
    "the line its 95 % interval over seeds."
)
_CONDITIONS = ("device", "commit", "checkpoint.step", "data.manifest", "processes")
_OF_MACHINES = ("trainer.devices", "trainer.accelerator")  # what matters of these is in "processes" and "device"


def progress(results: StudyResults) -> str:
    """How much of the study there is."""
    done, failed, missing = len(results.done), len(results.failed), len(results.missing)
    text = f"{done} of {done + failed + missing} trainings are done"
    rest = [f"{count} {kind}" for count, kind in ((failed, "failed"), (missing, "not done yet")) if count]
    return f"{text} ({', '.join(rest)})." if rest else f"{text}."


def about_tests(results: StudyResults) -> str:
    """How many differences are tested, and what p means then."""
    if not results.tested:
        return "No difference of mIoU is tested: that takes two seeds at least that a variant and the baseline share."
    if results.tested == 1:
        return "One difference of mIoU is tested, so its p needs no adjustment."
    chance = f"{0.05 * results.tested:.2g}"
    return (
        f"{results.tested} differences of mIoU are tested. If none of them were real, about {chance} of them would "
        "still have p below 0.05 by chance. Holm's p is adjusted for all of them: with it, one such study out of "
        "twenty would have any below 0.05."
    )


def group_notes(group: SplitResult, baseline: str) -> list[str]:
    """Why there is no contrast, seeds without a pair, tests that are undefined, and what spoils a comparison."""
    notes = [] if group.without is None else [f"No differences: {group.without}."]
    for variant in group.variants:
        if variant.contrasts:
            notes += _pairing(variant, baseline)
        if variant.comparison is not None:
            notes += variant.comparison.warnings
            notes += _conditions(variant.comparison) + _variations(variant.comparison)
    return list(dict.fromkeys(notes))


def _pairing(variant: VariantResult, baseline: str) -> list[str]:
    whole = variant.contrasts["mIoU"]
    notes = [f"{line}." for line in _unpaired(whole, variant.name, baseline)]
    if whole.test.undefined is not None:
        notes.append(f"{variant.name}: the t-test is {whole.test.undefined}.")
    for key, found in variant.contrasts.items():
        if found.seeds != whole.seeds and found.seeds:
            notes.append(f"{variant.name}: {key} is of {_seeds(found.seeds)} alone, where both sides have it.")
    return notes


def _conditions(found: Comparison) -> list[str]:
    """Of software, hardware, data and length, which no variant should differ in."""
    odd = [row.setting.removeprefix("fit.") for row in found.unequal if not row.method and _is_condition(row.setting)]
    listed = ", ".join(dict.fromkeys(odd))
    return [f"Trainings of {found.ours.name} and {found.theirs.name} were not all alike in {listed}."] if odd else []


def _variations(found: Comparison) -> list[str]:
    """Of settings that differ from seed to seed of one side, as when a file that the study names was edited."""
    notes = []
    for side, one in ((found.ours, lambda row: row.ours), (found.theirs, lambda row: row.theirs)):
        odd = [row.setting for row in found.unequal if any(value != one(row)[0] for value in one(row))]
        listed = ", ".join(name for name in odd if name not in _OF_MACHINES and not _is_condition(name))
        notes += [f"{side.name}: its seeds were not trained alike, they differ in {listed}."] if listed else []
    return notes


def _is_condition(setting: str) -> bool:
    name = setting.removeprefix("fit.")
    return name in _CONDITIONS or name.startswith("versions.")


def _unpaired(found: Contrast, name: str, baseline: str) -> list[str]:
    sides = ((found.only_ours, baseline, name), (found.only_theirs, name, baseline))
    return [
        f"{lacks} lacks {_seeds(seeds)}, which {has} has: left out of the difference and in the mean of {has} alone"
        for seeds, lacks, has in sides
        if seeds
    ]


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
