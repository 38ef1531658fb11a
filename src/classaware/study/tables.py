"""The results of a study as rows of text, shared by Markdown, the page and the terminal; fractions become percent."""

from collections.abc import Callable

from classaware.evaluation.formatting import Rows, interval_text, points, short_probability, signed
from classaware.evaluation.statistics import TTest, sd
from classaware.study.contrast import Contrast, defined, mean
from classaware.study.groups import SplitResult, VariantResult
from classaware.study.results import StudyResults

Lines = tuple[list[str], Rows]  # head and rows

_TITLES = {"gap": "matched gap", "dependency": "dependency (cosine)"}


def group_title(group: SplitResult) -> str:
    """Data set, network and split."""
    return f"{group.dataset}, {group.network}, {group.split}"


def mean_table(group: SplitResult) -> Lines:
    """mIoU of every variant, and its difference to the baseline."""
    head = ["variant", "seeds", "mIoU %", "sd", "difference", "sd of pairs", "95 % interval", "p", "Holm"]
    return head, [_mean_row(variant) for variant in group.variants]


def _mean_row(variant: VariantResult) -> list[str]:
    known = defined(variant.values["mIoU"])
    values = list(known.values())
    cells = [variant.name, ", ".join(map(str, known)), points(mean(values)), points(sd(values))]
    found = variant.contrasts.get("mIoU")
    if found is None:
        return [*cells, *["–"] * 5]
    test = found.test
    cells += [signed(found.difference), points(found.difference_sd), interval_text(test.interval)]
    return [*cells, short_probability(test), short_probability(TTest("Holm", p=variant.holm))]


def other_table(group: SplitResult) -> Lines | None:
    """Every other quantity: the baseline's mean, then differences to it, p in brackets; None where there is none."""
    quantities = [key for key in group.variants[0].values if key != "mIoU"]
    if not quantities:
        return None
    head = ["variant", *(_TITLES.get(key, key) for key in quantities)]
    rows = []
    for variant in group.variants:
        if variant.contrasts:
            rows.append([variant.name, *(_difference(variant.contrasts[key], key) for key in quantities)])
            continue
        means = [mean(list(defined(variant.values[key]).values())) for key in quantities]
        cells = [_unsigned(key)(value) for key, value in zip(quantities, means, strict=True)]
        rows.append([f"{variant.name} (its mean)", *cells])
    return head, rows


def _difference(found: Contrast, key: str) -> str:
    if found.difference is None:
        return "–"
    text = f"{found.difference:+.3f}" if key == "dependency" else signed(found.difference)
    return text if found.test.p is None else f"{text} ({short_probability(found.test)})"


def _unsigned(key: str) -> Callable[[float | None], str]:
    return _cosine if key == "dependency" else points


def _cosine(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def class_table(variant: VariantResult) -> Lines | None:
    """IoU of every class over the seeds that both sides have; None for what is compared with nothing."""
    found = variant.comparison
    if found is None:
        return None
    head = ["class", f"{found.theirs.name} %", "difference", "sd of pairs", "95 % over images"]
    rows = [
        [row.name, points(row.theirs), signed(row.difference), points(row.sd), interval_text(row.interval)]
        for row in found.classes
    ]
    means = [signed(found.difference), points(found.difference_sd), interval_text(found.image_interval)]
    return head, [*rows, ["mean", points(found.theirs.mean), *means]]


def undone_table(results: StudyResults) -> Lines:
    """Cells that failed or are missing, and why."""
    rows = [[str(cell), "failed", reason] for cell, reason in results.failed.items()]
    return ["cell", "", "reason"], [*rows, *([str(cell), "missing", "not done yet"] for cell in results.missing)]


def settings_table(results: StudyResults) -> Lines:
    """Arguments of ``classaware fit`` by what they belong to, and what is measured."""
    settings = results.settings
    rows = [["all", "", " ".join(settings["fit"])]]
    for name, choice in settings["datasets"].items():
        rows.append(["data set", name, " ".join(choice["fit"])])
        rows.append(["measured on", name, ", ".join(choice["splits"])])
        rows.append(["familiar by", name, choice["train_split"]])
    for kind, key in (("network", "networks"), ("variant", "variants")):
        rows += [[kind, name, " ".join(arguments)] for name, arguments in settings[key].items()]
    return ["of", "name", "arguments of classaware fit, or splits"], [[*row[:2], row[2] or "none"] for row in rows]


def made_table(results: StudyResults) -> Lines:
    """What the cells that are done were made with."""
    made = results.made_with
    rows = [[name, ", ".join(versions)] for name, versions in made["versions"].items()]
    rows += [["commit", ", ".join(made["commits"])], ["device", ", ".join(made["devices"])]]
    return ["", "of trainings and evaluations"], [[name, text or "not recorded"] for name, text in rows]
