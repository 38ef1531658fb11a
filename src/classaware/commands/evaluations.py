"""Evaluations that are there already, and those that have to be made."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from classaware.commands.evaluate import Evaluation, evaluate_network
from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord, read_record, write_record
from classaware.files import check_writable
from classaware.provenance import versions


def stored_or_new(evaluation: Evaluation, places: Sequence[Path], path: Path, num_workers: int) -> EvaluationRecord:
    """What an evaluation finds, without doing it where a file says it already.

    Args:
        evaluation: network, data and way.
        places: folders in which an evaluation may lie.
        path: of the file, where it is made anew.
        num_workers: processes that read images.

    Raises:
        InputError: data that cannot be used, or a file that cannot be written.
    """
    checksum = evaluation.named.provenance["sha256"]
    known = (record for place in places for record in _stored(place))
    found = next((r for r in known if r.checkpoint.get("sha256") == checksum and _fits(r, evaluation)), None)
    if found is None:
        check_writable(path)
        found = replace(evaluate_network(evaluation, num_workers), path=path)
        write_record(path, found)
    return found


def _stored(folder: Path) -> Iterator[EvaluationRecord]:
    for path in sorted(folder.glob("*.json")):
        try:
            yield read_record(path)
        except InputError:  # another file, or a damaged one: then it is evaluated anew
            continue


def _fits(record: EvaluationRecord, evaluation: Evaluation) -> bool:
    """Whether it is what this evaluation would find."""
    dataset, way = evaluation.dataset, evaluation.inference.arguments
    manifest = getattr(dataset, "manifest", None)
    return (
        record.data.get("split") == evaluation.split
        and record.data.get("dataset") == evaluation.arguments
        and record.data.get("manifest") == (manifest.files_sha256 if manifest else None)
        and {name: record.inference.get(name) for name in way} == way
        and record.class_names == tuple(dataset.class_names)
        and set(record.names) == {sample.name for sample in dataset.samples(evaluation.split)}
        and record.versions == versions()
        and not _changed(evaluation, record.date)
    )


def _changed(evaluation: Evaluation, date: str) -> bool:
    """Whether an image or mask was written after an evaluation; generated ones have no file."""
    try:
        evaluated = datetime.fromisoformat(date).timestamp()
        paths = (path for sample in evaluation.dataset.samples(evaluation.split) for path in sample[1:])
        return any(path.stat().st_mtime > evaluated for path in paths if path.exists())
    except (ValueError, OSError):
        return True


def file_names(names: Sequence[str], splits: Sequence[str]) -> dict[tuple[str, str], str]:
    """NAME-SPLIT.json of every run and split, all different; names are anything, so only letters and digits stay."""
    found = {(n, s): re.sub(r"[^\w.-]", "_", f"{n}-{s}").lstrip(".") for n in names for s in splits}
    if len({name.lower() for name in found.values()}) < len(found):
        found = {key: f"{number}-{name}" for number, (key, name) in enumerate(found.items(), start=1)}
    return {key: f"{name}.json" for key, name in found.items()}
