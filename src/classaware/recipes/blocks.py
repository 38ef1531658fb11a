"""The packaged YAML files by name."""

from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Block:
    """One YAML file.

    Attributes:
        name: its path in this folder without the ending, such as ``networks/ccnet``.
        path: of the file.
    """

    name: str
    path: Path

    @property
    def summary(self) -> str:
        """What the file says of itself in its first line, a comment."""
        with self.path.open(encoding="utf-8") as file:
            return file.readline().lstrip("#").strip()


_NAMES = {path.relative_to(_FOLDER).with_suffix("").as_posix(): path for path in _FOLDER.rglob("*.yaml")}
BLOCKS = {name: Block(name, path) for name, path in sorted(_NAMES.items())}
