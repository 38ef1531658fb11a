"""Tables and figures of the evidence, written anew from the JSON of the studies' cells: ``make evidence``.

In README.md and docs/results/evidence.md every table stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``; the
figures are docs/images/evidence-*.png. Of the trainings that are not done a table says so by a dash.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ideas_table import table as ideas_table

from classaware.evaluation.formatting import markdown_table, points, signed
from classaware.files import write_atomically
from classaware.insight.figures import COMPARED, REFERENCE, canvas, dress, figure_to_png, frozen
from classaware.insight.study_plot import PlotBlock, PlotRow, study_figure
from classaware.study.contrast import Contrast, contrast, holm

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results" / "evidence"
IMAGES = ROOT / "docs" / "images"
LITE, SMALL = "lite0-self-attention", "small-resnet"
NETWORKS = {LITE: "Lite0 + Self-Attention", SMALL: "small ResNet + Self-Attention"}
DATA = {"camvid": "CamVid", "msrc21": "MSRC-21", "voc21": "VOC subset", "scenes": "biased scenes"}
LENGTHS = {"voc21": "500", "voc21-1168": "1,168"}
SIZES = {
    "batch size": {2: "batch-2", 4: "batch-4", 8: SMALL, 16: "batch-16"},
    "channels C": {32: "channels-32", 64: "channels-64", 128: SMALL, 256: "channels-256"},
}

# Classes of the VOC subset of which at most 72 of the 1,169 training images have a pixel; of all others 78 do or more.
FEW = ("train", "bus", "aeroplane", "boat", "bicycle", "motorbike", "bird", "diningtable", "cow", "tvmonitor", "bottle")
FEW = (*FEW, "pottedplant")
NOTHING = ["Not trained yet."]

Values = Mapping[int, float | None]  # mIoU by seed


class Place(NamedTuple):
    """What is compared with each other within a study."""

    dataset: str
    network: str
    split: str


class Found:
    """The mIoU of a study's cells; nothing where the study has no results yet."""

    def __init__(self, study: str) -> None:
        path = RESULTS / study / "study.json"
        content = json.loads(path.read_text()) if path.exists() else {"groups": [], "baseline": None}
        self.baseline = content["baseline"]
        self._values: dict[Place, dict[str, Values]] = {}
        for group in content["groups"]:
            place = Place(group["dataset"], group["network"], group["split"])
            self._values[place] = {
                variant["name"]: {int(seed): value for seed, value in variant["values"]["mIoU"].items()}
                for variant in group["variants"]
            }

    def variants(self, place: Place) -> list[str]:
        """Of which some trainings are done, in the study's order."""
        return list(self._values.get(place, {}))

    def values(self, place: Place, variant: str) -> Values:
        """By seed; empty where no training is done."""
        return self._values.get(place, {}).get(variant, {})

    def against(self, place: Place, variant: str, reference: str) -> Contrast | None:
        """Over the seeds that both sides have; None where these are not all seeds of the reference."""
        theirs = self.values(place, reference)
        found = contrast(self.values(place, variant), theirs)
        return found if found.seeds and len(found.seeds) == len(theirs) else None


def difference(found: Contrast | None) -> str:
    """Mean of the pairs, its standard deviation, and p."""
    text = mean_and_sd(found)
    return text if found is None or found.test.p is None else f"{text}, p {found.test.p:.3f}"


def mean_and_sd(found: Contrast | None) -> str:
    """Of the pairs."""
    return "–" if found is None else f"{signed(found.difference)} ({points(found.difference_sd)})"


def mean_text(values: Values) -> str:
    """Mean over the seeds."""
    known = [value for value in values.values() if value is not None]
    return points(sum(known) / len(known)) if known else "–"


def reference_text(values: Values) -> str:
    """The same, and of how many seeds."""
    return f"{mean_text(values)}, n {len(values)}" if values else "–"


def adjusted(contrasts: Iterable[Contrast | None]) -> list[str]:
    """What is to be said of the p of a table, behind it."""
    tests = [found.test.p for found in contrasts if found is not None and found.test.p is not None]
    if not tests:
        return []
    least, lowest = min(tests), min(p for p in holm(tests) if p is not None)
    count = f"p is not adjusted for the {len(tests)} differences of this table"
    return ["", f"{count}; the smallest, {least:.3f}, is {lowest:.2f} by Holm."]


def scores(variants: Sequence[str], link: str) -> list[str]:
    """A row for every data set and split: the baseline, and what each variant adds."""
    found, rows = Found("evidence"), []
    contrasts: list[Contrast | None] = []
    for dataset, splits in {"camvid": 2, "msrc21": 2, "voc21": 2, "scenes": 0}.items():
        network = LITE if splits else SMALL
        for split in ("val", "test") if splits else ("seen", "unseen"):
            place = Place(dataset, network, split)
            base = found.values(place, "baseline")
            row = [found.against(place, name, "baseline") for name in variants]
            contrasts += row
            head = [f"{DATA[dataset]}, {split}", NETWORKS[network], str(len(base)), mean_text(base)]
            rows.append([*head, *map(difference, row)])
    lines = markdown_table(["data, split", "network", "seeds", "baseline", *variants], rows)
    # Behind the escaping of cells: names in code, and data sets that lead to the evidence where that is elsewhere.
    lines[0] = "| data, split | network | seeds | baseline | " + " | ".join(f"`{name}`" for name in variants) + " |"
    if link:
        lines[2:] = [re.sub(r"^\| ([^,]+), ", rf"| [\1]({link}), ", line) for line in lines[2:]]
    return lines + adjusted(contrasts)


def variants_table(study: str, places: Mapping[str, Place], reference: str, head: str) -> list[str]:
    """A row for every variant: in every place, what it adds to the reference."""
    found = Found(study)
    names = list(dict.fromkeys(name for place in places.values() for name in found.variants(place)))
    rows = [[f"{reference} (its mean)", *(reference_text(found.values(at, reference)) for at in places.values())]]
    contrasts: list[Contrast | None] = []
    for name in names:
        row = [found.against(at, name, reference) for at in places.values()]
        if name != reference and any(row):
            rows.append([name, *map(difference, row)])
            contrasts += row
    return markdown_table([head, *places], rows) + adjusted(contrasts) if contrasts else NOTHING


def scenes(network: str = SMALL) -> dict[str, Place]:
    """Both splits by what a column is called."""
    return {f"scenes, {split}": Place("scenes", network, split) for split in ("unseen", "seen")}


def table1() -> list[str]:
    """CAR's terms one by one."""
    return variants_table("table1", table1_places(), "R2-A", "row")


def table1_places() -> dict[str, Place]:
    """Scenes and MSRC-21."""
    return scenes() | {f"MSRC-21, {split}": Place("msrc21", LITE, split) for split in ("val", "test")}


def background() -> list[str]:
    """Variants on VOC, by the length of the run."""
    places = {
        f"{length} steps, {split}": Place(dataset, LITE, split)
        for dataset, length in LENGTHS.items()
        for split in ("val", "test")
    }
    return variants_table("background", places, "baseline", "variant")


def by_images() -> list[str]:
    """What variants on VOC change in IoU, by how many training images show a class: means over classes and seeds."""
    cells = RESULTS / "background" / "cells" / "voc21" / LITE
    head = ["IoU, test", "background", f"{len(FEW)} classes in at most 72 images", "8 classes in 78 images or more"]
    rows = []
    for variant in Found("background").variants(Place("voc21", LITE, "test")):
        sums: dict[str, list[float]] = {name: [] for name in head[1:]}
        for ours in sorted((cells / variant).glob("seed-*")) if variant != "baseline" else ():
            theirs = cells / "baseline" / ours.name
            for one, other in zip(*map(class_ious, (ours, theirs)), strict=True):
                kind = 1 if one[0] == "background" else 2 if one[0] in FEW else 3
                sums[head[kind]].append(one[1] - other[1])
        if all(sums.values()):
            rows.append([variant, *(signed(sum(values) / len(values)) for values in sums.values())])
    return markdown_table(head, rows) if rows else NOTHING


def class_ious(cell: Path) -> list[tuple[str, float]]:
    """Name and IoU of every class of a cell on its test split."""
    return [(each["name"], each["iou"]) for each in json.loads((cell / "test.json").read_text())["classes"]]


TERMS = {"intra_c2p": "intra", "inter_c2c": "c2c", "inter_c2p": "c2p"}  # names in those of variants


def weights_table() -> list[str]:
    """What CAR adds to the baseline on unseen pairs, by the weight of each term; p stands in the table of the knobs."""
    found, unseen = Found("knobs"), scenes()["scenes, unseen"]
    rows = []
    for term, short in TERMS.items():
        variants = (f"{short}-0", "default", f"{short}-triple")
        rows.append([term, *(mean_and_sd(found.against(unseen, variant, "baseline")) for variant in variants)])
    return markdown_table(["weight", "0", "1", "3"], rows)


def sizes_table() -> list[str]:
    """What the default adds to the baseline, by batch size and width."""
    found, rows = Found("knobs"), []
    contrasts: list[Contrast | None] = []
    for knob, networks in SIZES.items():
        for size, network in networks.items():
            row = {place: found.against(place, "default", "baseline") for place in scenes(network).values()}
            if any(row.values()):
                sides = [(reference_text(found.values(at, "baseline")), difference(one)) for at, one in row.items()]
                rows.append([f"{knob} {size}", *(cell for side in sides for cell in side)])
                contrasts += row.values()
    head = [f"{split}, {side}" for split in ("unseen", "seen") for side in ("baseline", "default")]
    return markdown_table(["", *head], rows) + adjusted(contrasts) if rows else NOTHING


ALT = {
    "table1": "Every row's pairs of trainings against R2, with intervals",
    "knobs": "Every knob's pairs of trainings against the default, with intervals",
    "sizes": "mIoU on unseen pairs of baseline and default over batch size and channels",
}


def with_figure(lines: list[str], name: str, picture: bytes | None) -> list[str]:
    """A table and the figure under it."""
    return lines if picture is None else [*lines, "", f"![{ALT[name]}](../images/evidence-{name}.png)"]


def blocks() -> dict[str, dict[str, list[str]]]:
    """Every table by its page and name."""
    ideas, drawn = RESULTS / "ideas.jsonl", figures()
    page = {
        "scores": scores(["released", "paper", "masked", "rare-pairs"], ""),
        "background": background(),
        "by images": by_images(),
        "table 1": with_figure(table1(), "table1", drawn["table1"]),
        "knobs": with_figure(variants_table("knobs", scenes(), "default", "knob"), "knobs", drawn["knobs"]),
        "weights": weights_table(),
        "sizes": with_figure(sizes_table(), "sizes", drawn["sizes"]),
        "ideas": ideas_table(ideas, True),
        "unsettled": ideas_table(ideas, False),
    }
    readme = {"scores": scores(["released", "masked", "rare-pairs"], "docs/results/evidence.md")}
    return {"README.md": readme, "docs/results/evidence.md": page}


def rewritten(text: str, tables: Mapping[str, Sequence[str]], page: str) -> str:
    """The page with its tables as they are now.

    Raises:
        ValueError: a table for which it has no place.
    """
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{page} must have {begin.strip()} and {end} once each.")
        before, rest = text.split(begin)
        text = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.split(end)[1]
    return text


def forest(study: str, places: Mapping[str, Place], reference: str) -> bytes | None:
    """PNG of every variant's pairs against the reference; None without any."""
    found, drawn = Found(study), []
    for title, place in places.items():
        contrasts = {name: found.against(place, name, reference) for name in found.variants(place)}
        rows = [
            PlotRow(name, one.difference, one.test.interval, one.differences)
            for name, one in contrasts.items()
            if name != reference and one is not None and one.difference is not None
        ]
        drawn.append(PlotBlock(title, rows, f"({reference}: {mean_text(found.values(place, reference))} %)"))
    return figure_to_png(study_figure(drawn, reference)) if any(block.rows for block in drawn) else None


def sizes_figure() -> bytes | None:
    """PNG of mIoU on unseen pairs over batch size and width, baseline and default; None where a point is missing."""
    found = Found("knobs")
    figure = canvas(width=7.0, height=2.8)
    for axis, (knob, networks) in zip(figure.subplots(1, 2, sharey=True), SIZES.items(), strict=True):
        for variant, color in (("baseline", REFERENCE), ("default", COMPARED)):
            means = []
            for size, network in networks.items():
                values = found.values(scenes(network)["scenes, unseen"], variant)
                known = [100 * value for value in values.values() if value is not None]
                if len(known) < len(found.values(scenes()["scenes, unseen"], "baseline")) or not known:
                    return None
                axis.plot([size] * len(known), known, "o", color=color, ms=4, alpha=0.55, mew=0)
                means.append(sum(known) / len(known))
            axis.plot(list(networks), means, color=color, lw=1.3, label=variant)
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(networks), [str(size) for size in networks])
        axis.set_xlabel(knob)
        dress(axis)
    left = figure.axes[0]
    left.set_ylabel("mIoU on unseen pairs, %")
    left.legend(frameon=False, fontsize=8)
    return figure_to_png(frozen(figure))


@cache
def figures() -> dict[str, bytes | None]:
    """Every figure by its name; None where there is nothing to draw yet."""
    return {
        "table1": forest("table1", table1_places(), "R2-A"),
        "knobs": forest("knobs", scenes(), "default"),
        "sizes": sizes_figure(),
    }


def main() -> int:
    """Write all of it."""
    for page, tables in blocks().items():
        path = ROOT / page
        write_atomically(path, rewritten(path.read_text(encoding="utf-8"), tables, page).encode())
        print(path.relative_to(ROOT))
    for name, picture in figures().items():
        path = IMAGES / f"evidence-{name}.png"
        if picture is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, picture)
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
