"""List what is in the wheel and the sdist, and refuse what is missing or has no place there.

usage: python .ci/archives.py WHEEL WHEEL_OF_THE_CHECKOUT SDIST
"""

import sys
import tarfile
import tomllib
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
CODE = {".py", ".css", ".html", ".js", ".yaml", ".typed"}
LARGEST = 2_000_000  # bytes of the wheel; a data set or weights would be more


def sources() -> dict[str, bytes]:
    """The package's files in the checkout: name in the wheel -> content."""
    files = (ROOT / "src" / "classaware").rglob("*")
    kept = [path for path in files if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT / "src").as_posix(): path.read_bytes() for path in kept}


def of_wheel(wheel: Path) -> dict[str, bytes]:
    """A wheel's files: name -> content."""
    with ZipFile(wheel) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def of_sdist(sdist: Path) -> dict[str, int]:
    """An sdist's files, without the folder around them: name -> size in bytes."""
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2]: member.size for member in archive.getmembers() if member.isfile()}


def check_wheel(wheel: Path, again: Path) -> list[str]:
    """What is wrong with a wheel that was made from the sdist, and the one that was made from the checkout."""
    files, expected = of_wheel(wheel), sources()
    meta = {name for name in files if ".dist-info/" in name}
    package = {name: content for name, content in files.items() if name not in meta}
    wrong = [f"{name} is missing or differs" for name in expected if package.get(name) != expected[name]]
    wrong += [f"{name} is not in src/" for name in package.keys() - expected.keys()]
    wrong += [f"{name} is no code" for name in package if PurePosixPath(name).suffix not in CODE]
    asked = ("classaware/py.typed", "classaware/insight/report.css", "classaware/recipes/car.yaml")
    wrong += [f"{name} is missing" for name in asked if name not in package]
    endings = ("METADATA", "entry_points.txt", "licenses/LICENSE")
    wrong += [f"{ending} is missing" for ending in endings if not any(name.endswith(ending) for name in meta)]
    if files != of_wheel(again):
        wrong.append("the wheel of the sdist and the wheel of the checkout differ")
    if wheel.stat().st_size > LARGEST:
        wrong.append(f"{wheel.stat().st_size} bytes")
    return [f"{wheel.name}: {what}" for what in wrong]


def check_sdist(sdist: Path) -> list[str]:
    """What is wrong with an sdist: what its list in pyproject.toml names is all there."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"][
        "include"
    ]
    files = of_sdist(sdist)
    wrong = [
        f"{sdist.name}: {name} is missing"
        for name in (entry.removeprefix("/") for entry in listed)
        if not any(file == name or file.startswith(f"{name}/") for file in files)
    ]
    return wrong + [f"{sdist.name}: {name} has no place there" for name in files if "__pycache__" in name]


def main(wheel: Path, again: Path, sdist: Path) -> int:
    """List both; returns the exit status."""
    with ZipFile(wheel) as archive:
        for info in archive.infolist():
            print(f"{info.file_size:>9} {info.filename}")
    print(f"{wheel.name}: {len(of_wheel(wheel))} files, {wheel.stat().st_size} bytes")
    print(f"{sdist.name}: {len(of_sdist(sdist))} files, {sdist.stat().st_size} bytes")
    wrong = check_wheel(wheel, again) + check_sdist(sdist)
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
