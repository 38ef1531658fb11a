"""Print the lowest versions that pyproject.toml allows, one pin a line, as pip takes them with --constraint."""

import re
import tomllib
from pathlib import Path

LOWEST = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9.]+)(?:,<[0-9.]+)?")


def lowest_versions(pyproject: Path, extras: set[str]) -> list[str]:
    """``name==version`` of every requirement, the project's own extras aside.

    Raises:
        ValueError: a requirement without a lowest version.
    """
    project = tomllib.loads(pyproject.read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in sorted(extras):
        wanted += project["optional-dependencies"][extra]
    pins = set()
    for requirement in wanted:
        if requirement.startswith(f"{project['name']}["):
            continue
        if "==" in requirement:
            pins.add(requirement)
            continue
        found = LOWEST.fullmatch(requirement)
        if found is None:
            raise ValueError(f"{pyproject}: {requirement!r} names no lowest version: write it as name>=version.")
        pins.add(f"{found[1]}=={found[2]}")
    return sorted(pins)


if __name__ == "__main__":
    pins = lowest_versions(
        Path(__file__).resolve().parents[1] / "pyproject.toml", {"train", "export", "offline", "test"}
    )
    print("\n".join(pins))
