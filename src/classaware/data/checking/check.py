"""What ruins a training, found before it begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classaware import __version__
from classaware.data.checking.findings import Finding, Severity
from classaware.data.checking.inspection import Inspection, Inspector
from classaware.data.checking.overview import (
    absent_classes,
    is_training,
    repeated_images,
    values_outside,
)
from classaware.data.checking.prepared import differences
from classaware.data.checking.tally import Tally
from classaware.data.checking.walking import walk
from classaware.data.dataset import SegmentationDataset, read_class_names
from classaware.data.folder import FolderDataset
from classaware.data.open import open_dataset, split_folders
from classaware.data.parallel import Progress, in_parallel
from classaware.errors import InputError


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        root: the folder.
        dataset: name of the class that reads it.
        class_names: name of class i.
        ignore_index: value of pixels without a class.
        splits: what each split holds.
        findings: all problems, errors first.
    """

    root: Path
    dataset: str
    class_names: tuple[str, ...]
    ignore_index: int | None
    splits: tuple[Tally, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """Number of findings of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def status(self) -> int:
        """Exit status: 1 with errors, else 0."""
        return 1 if self.count("error") else 0

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "format": "classaware-check",
            "version": 1,
            "classaware": __version__,
            "path": str(self.root),
            "dataset": self.dataset,
            "class_names": list(self.class_names),
            "ignore_index": self.ignore_index,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "splits": [tally.to_dict() for tally in self.splits],
            "findings": [finding.to_dict() for finding in self.findings],
        }


def check(
    root: Path, ignore_index: int | None = None, workers: int | None = None, progress: Progress | None = None
) -> Report:
    """Look at every file of a data set.

    Args:
        root: what ``open_dataset`` opens.
        ignore_index: value of pixels without a class; by default the data set's own.
        workers: processes that read files; 0 reads in this one, None takes one a core.
        progress: is told (done, all) after every pair.

    Raises:
        InputError: there is no such folder, or nothing that is known as a data set in it. What is wrong with the data
            set is no error but a finding.
    """
    root = Path(root)
    try:
        dataset = open_dataset(root, ignore_index)
    except InputError as error:
        finding = _closed(root, str(error))
        if finding is None:
            raise
        return Report(root, "FolderDataset", (), ignore_index, (), (finding,))
    folders = split_folders(dataset)
    order = sorted(folders, key=lambda split: not is_training(split))  # that comes first
    walks = {split: walk(split, folders[split]) for split in order}
    findings = [finding for one in walks.values() for finding in one.findings]
    places = [(split, sample) for split, one in walks.items() for sample in one.pairs]
    tallies = {split: Tally(split, dataset.num_classes) for split in walks}
    prepared = isinstance(dataset, FolderDataset) and dataset.manifest is not None
    seen: list[Inspection] = []
    for one in in_parallel(Inspector(dataset, mask_digests=prepared), places, workers, progress):
        tallies[one.split].add(one)
        seen.append(one)
        findings += one.findings
    splits = tuple(tallies.values())
    findings += _overall(root, dataset, seen, splits)
    findings.sort(key=lambda finding: finding.severity)  # "error" is before "warning"
    return Report(root, type(dataset).__name__, dataset.class_names, dataset.ignore_index, splits, tuple(findings))


def _closed(root: Path, message: str) -> Finding | None:
    """Why a folder with a data set in it cannot be opened, as a finding; None where there is no data set."""
    if not (root / "classes.txt").exists() and not (root / "images").is_dir():
        return None
    try:
        read_class_names(root / "classes.txt")
    except InputError:
        return Finding("error", "unusable list of classes", None, str(root / "classes.txt"), message)
    if not any(path.is_dir() for path in (root / "images").glob("*")):
        return Finding("error", "no split", None, str(root / "images"), message)
    return Finding("error", "unusable manifest", None, str(root / "manifest.json"), message)


def _overall(
    root: Path, dataset: SegmentationDataset, seen: list[Inspection], splits: tuple[Tally, ...]
) -> Iterator[Finding]:
    manifest = dataset.manifest if isinstance(dataset, FolderDataset) else None
    if manifest is not None:
        try:
            yield from differences(root, manifest, seen)
        except InputError as error:
            yield Finding("warning", "unusable list of prepared files", None, str(root / "files.csv"), str(error))
    yield from values_outside(dataset, seen)
    yield from repeated_images(seen)
    yield from absent_classes(dataset.class_names, splits, root)
    for path in sorted((root / "masks").glob("*")):
        if path.is_dir() and path.name not in dataset.splits:
            message = f"{path} holds masks, but there is no {root / 'images' / path.name}: add it, or remove the masks."
            yield Finding("warning", "mask without an image", path.name, str(path), message)
