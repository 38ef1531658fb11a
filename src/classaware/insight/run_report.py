"""The report of one or several runs: the sections, numbers first."""

from collections.abc import Sequence

from classaware.insight.exhibits import curves_exhibit
from classaware.insight.report import Report
from classaware.insight.report_blocks import Block, Heading, Legend, Samples, Section, Text
from classaware.insight.report_dependency import dependency_blocks
from classaware.insight.report_images import UNLABELED
from classaware.insight.report_provenance import provenance_blocks
from classaware.insight.report_rarity import rarity_blocks
from classaware.insight.report_results import result_blocks
from classaware.insight.report_summary import summary_blocks
from classaware.insight.runs import Findings

_OF_PICTURES = (
    "IoU of an image is the mean over the classes in its ground truth or prediction. What is striped in the "
    "ground truth has no label and counts nowhere."
)


def run_report(findings: Findings, title: str, intro: str = "") -> Report:
    """Sections of all that was found; what is empty is left out.

    Args:
        findings: of at least one run.
        title: of the report.
        intro: one paragraph.
    """
    return Report(
        title,
        intro,
        [
            Section("In short", summary_blocks(findings)),
            Section("What was run", provenance_blocks(findings)),
            Section("Classes", result_blocks(findings)),
            Section("Rare combinations", rarity_blocks(findings)),
            Section("Class dependency", dependency_blocks(findings)),
            Section("Images", _images(findings)),
            Section("Training", _curves(findings)),
        ],
    )


def _images(findings: Findings) -> Sequence[Block]:
    if not any(findings.samples.values()):
        return []
    classes = next(iter(findings.runs[0].records.values())).class_names
    colors = list(zip(classes, findings.palette, strict=True))
    blocks: list[Block] = [Text(_OF_PICTURES, quiet=True), Legend(colors, [("no label", UNLABELED)])]
    for split, rows in findings.samples.items():
        if rows:
            blocks += [Heading(split), Samples(["image", "ground truth", *findings.names], rows)]
    return blocks


def _curves(findings: Findings) -> Sequence[Block]:
    names = {name for run in findings.runs for name in run.curves}
    # What is validated says most, then the loss as a whole, then its parts.
    order = sorted(names, key=lambda name: (not name.startswith("val/"), name.startswith("train/"), name))
    # A run that did not log a quantity has an empty line there, so that all runs keep their colors.
    curves = {name: {run.name: run.curves.get(name, ([], [])) for run in findings.runs} for name in order}
    return [curves_exhibit(curves)] if curves else []
