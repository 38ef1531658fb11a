"""What a check may say about a data set."""

from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning"]


class Finding(NamedTuple):
    """One problem.

    Attributes:
        severity: ``error`` is what training and evaluation refuse, ``warning`` what they do not notice.
        kind: what it is in a few words; the same for all findings of the kind.
        split: in which part of the data set, if in one.
        file: the file or folder at fault, if it is one.
        message: one sentence that names the thing, and the cure.
    """

    severity: Severity
    kind: str
    split: str | None
    file: str | None
    message: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()
