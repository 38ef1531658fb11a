"""What a study is: data sets, networks, variants, seeds, and the cells of their grid."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from classaware.errors import InputError


class Cell(NamedTuple):
    """One training of a study, by its place in the grid."""

    dataset: str
    network: str
    variant: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where it lies below the study's ``cells`` folder."""
        return Path(self.dataset, self.network, self.variant, f"seed-{self.seed}")

    def __str__(self) -> str:
        return f"{self.dataset}/{self.network}/{self.variant}/seed-{self.seed}"


@dataclass(frozen=True)
class DataChoice:
    """A data set of a study.

    Attributes:
        fit: arguments of ``classaware fit``.
        splits: on which the trained network is measured.
        train_split: whose labels say which combinations of classes are familiar; None: that is not looked at.
    """

    fit: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("test",)
    train_split: str | None = "train"


@dataclass(frozen=True)
class Study:
    """A grid of trainings.

    Attributes:
        name: of the study.
        fit: arguments of ``classaware fit`` for all cells, over those of data set and network and under the variant's.
        datasets: by name, in the file's order.
        networks: arguments of ``classaware fit`` by name.
        variants: the same.
        baseline: the variant that all others are compared against.
        cells: every training, in the order in which they are taken up.
        folder: of the study's file, where the files that it names are looked for first.
    """

    name: str
    fit: tuple[str, ...]
    datasets: Mapping[str, DataChoice]
    networks: Mapping[str, tuple[str, ...]]
    variants: Mapping[str, tuple[str, ...]]
    baseline: str
    cells: tuple[Cell, ...]
    folder: Path = Path()

    def arguments(self, cell: Cell) -> list[str]:
        """Of ``classaware fit`` for one cell, as written: data set, network, study, variant, seed."""
        parts = (self.datasets[cell.dataset].fit, self.networks[cell.network], self.fit, self.variants[cell.variant])
        given = [part for arguments in parts for part in arguments]
        return [*(argument for part in given for argument in _option(part)), f"--seed={cell.seed}"]

    def resolved_arguments(self, cell: Cell) -> list[str]:
        """The same with the paths of files that lie beside the study."""
        return [_beside(part, self.folder) for part in self.arguments(cell)]

    def only(self, pattern: str) -> "Study":
        """The same with the cells alone whose name fits a pattern with ``*`` and ``?``.

        Raises:
            InputError: none does.
        """
        cells = tuple(cell for cell in self.cells if fnmatchcase(str(cell), pattern))
        if not cells:
            raise InputError(f"no cell of {self.name} fits {pattern!r}; the first is called {self.cells[0]}.")
        return replace(self, cells=cells)

    def without(self, cells: Collection[Cell]) -> "Study":
        """The same without these cells."""
        return replace(self, cells=tuple(cell for cell in self.cells if cell not in cells))

    def groups(self) -> list[tuple[str, str]]:
        """Data set and network of what is compared with each other, in the order of the cells."""
        return list(dict.fromkeys((cell.dataset, cell.network) for cell in self.cells))


def _option(part: str) -> list[str]:
    """A recipe or file becomes ``--config NAME``; an option stays."""
    return [part] if part.startswith("--") else ["--config", part]


def _beside(part: str, here: Path) -> str:
    beside = here / part
    return str(beside) if not part.startswith("--") and beside.is_file() else part
