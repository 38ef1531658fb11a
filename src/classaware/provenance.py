"""Where a result comes from: versions of the packages, the commit of the source, checksums of files."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from classaware import __version__

_PACKAGES = ("torch", "torchvision", "timm", "numpy")
_PACKAGE = Path(__file__).resolve().parent


def versions() -> dict[str, str]:
    """Versions of classaware, of the installed packages that change its numbers, and of Python."""
    found = {"classaware": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {"python": platform.python_version()}


def commit(package: Path = _PACKAGE) -> str | None:
    """Commit of the checkout ``.../src/classaware`` that the running source lies in, with "-dirty" if it was changed.

    None for an installed package (also within another project's repository), without git, or before a first commit.
    """
    top = _git(package, "rev-parse", "--show-toplevel")
    if not top or (Path(top) / "src" / "classaware").resolve() != package.resolve():
        return None
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = _git(package, "rev-parse", "--verify", "HEAD")
    changes = _git(package, "status", "--porcelain", "--untracked-files=no")
    if not head or changes is None:
        return None
    return f"{head}-dirty" if changes else head


def _git(folder: Path, *arguments: str) -> str | None:
    # Variables such as GIT_DIR, which hooks set, would name another repository than the folder's own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else None
