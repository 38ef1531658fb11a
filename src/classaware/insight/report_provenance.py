"""What was run: in what the runs differ first, then where everything comes from; the whole configuration is folded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from classaware.data import FolderDataset
from classaware.evaluation.comparable import all_configured, find_unequal
from classaware.evaluation.record import EvaluationRecord
from classaware.insight.report_blocks import Block, Details, Facts, Table, Text
from classaware.insight.runs import Findings, Run

_LETTERS = 12  # of a checksum or commit
_PARTLY = "The runs do not all record their whole configuration: there may be differences that are not listed."


def provenance_blocks(findings: Findings) -> Sequence[Block]:
    """Differences, checkpoints, data and software, and the whole configuration."""
    records = [run.records[findings.splits[0]] for run in findings.runs]
    blocks: list[Block] = []
    if len(records) > 1:
        blocks += _differences(findings.names, records)
    blocks.append(_checkpoints(findings.runs))
    blocks.append(Facts(_facts(findings, records[0])))
    settings = [_flat(run.training.get("configuration", run.training)) for run in findings.runs]
    names = list(dict.fromkeys(name for values in settings for name in values))
    rows = [[name, *(_text(values.get(name)) for values in settings)] for name in names]
    blocks.append(Details("The whole configuration", [Table("Configuration", ["setting", *findings.names], rows)]))
    return blocks


def _differences(names: Sequence[str], records: Sequence[EvaluationRecord]) -> list[Block]:
    unequal = sorted(find_unequal(records[:1], records[1:]), key=lambda row: not (row.method or row.loud))
    rows = [[row.setting, *map(_text, (*row.ours, *row.theirs))] for row in unequal]
    blocks: list[Block] = [] if all_configured(records) else [Text(_PARTLY)]
    if not rows:
        return [Text("The runs differ in no setting but the seed."), *blocks]
    return [Table("What differs between the runs", ["setting", *names], rows), *blocks]


def _checkpoints(runs: Sequence[Run]) -> Table:
    rows = [
        [
            run.name,
            _text(run.training.get("seed")),
            _text(run.provenance.get("step")),
            _text(run.provenance.get("path")),
            _text(run.provenance.get("sha256"))[:_LETTERS],
            _commit(run.training.get("commit")),
        ]
        for run in runs
    ]
    return Table("Checkpoints", ["run", "seed", "steps", "file", "sha256", "commit"], rows)


def _facts(findings: Findings, record: EvaluationRecord) -> dict[str, str]:
    data, root = record.data, _root(record)
    images = ", ".join(f"{len(findings.runs[0].records[split].names):,} {split}" for split in findings.splits)
    packages = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return {
        "data": f"{data_name(record)}, {len(record.class_names)} classes, images: {images}",
        **({"folder": root} if root else {}),
        "manifest": _text(data.get("manifest") or "none (not prepared by 'classaware data prepare')"),
        "evaluated": f"{record.date[:10]} on {record.device}",
        "with": f"{packages}, commit {_commit(record.commit)}",
    }


def _commit(value: Any) -> str:
    """Shortened, but still said to be changed where it was."""
    head, dirty, _ = _text(value).partition("-dirty")
    return head[:_LETTERS] + dirty


def data_name(record: EvaluationRecord) -> str:
    """Of the data set; of a folder that is nothing else, its own."""
    name = str(record.data.get("name"))
    root = _root(record)
    return Path(root).absolute().name if name == FolderDataset.__name__ and root else name


def _root(record: EvaluationRecord) -> str | None:
    root = ((record.data.get("dataset") or {}).get("init_args") or {}).get("root")
    return None if root is None else str(root)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(_text, value)) or "none" if isinstance(value, list | tuple) else str(value)
