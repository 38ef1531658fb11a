import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import classaware
from classaware.files import sha256
from classaware.provenance import commit, versions


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, env=environment
    )
    return done.stdout.decode().strip()


def make_package(root: Path) -> Path:
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("")
    return root


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with ``src/classaware`` in its first commit; returns its root."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path / "checkout"
    make_package(root / "src" / "classaware")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_versions_are_those_that_run() -> None:
    found = versions()
    assert found["classaware"] == classaware.__version__
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert (
        {"classaware", "torch", "python"}
        <= set(found)
        <= {"classaware", "torch", "torchvision", "timm", "numpy", "python"}
    )


def test_commit_of_a_checkout(checkout: Path) -> None:
    package = checkout / "src" / "classaware"
    head = git(checkout, "rev-parse", "HEAD")
    assert len(head) == 40
    assert commit(package) == head
    (package / "untracked.txt").write_text("notes")
    assert commit(package) == head
    (package / "__init__.py").write_text("changed = True\n")
    assert commit(package) == f"{head}-dirty"
    git(checkout, "commit", "-qam", "second")
    assert commit(package) == git(checkout, "rev-parse", "HEAD") != head


def test_commit_through_a_link_and_in_a_hook(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    (tmp_path / "link").symlink_to(checkout)
    assert commit((tmp_path / "link" / "src" / "classaware").resolve()) == head
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert commit(checkout / "src" / "classaware") == head


def test_no_commit_of_a_foreign_repository(checkout: Path) -> None:
    installed = make_package(checkout / ".venv" / "lib" / "site-packages" / "classaware")
    assert commit(installed) is None
    git(checkout, "add", "-f", ".venv")
    git(checkout, "commit", "-q", "-m", "an environment under version control")
    assert commit(installed) is None


def test_no_commit_of_an_untracked_copy(checkout: Path) -> None:
    git(checkout, "rm", "-rq", "--cached", "src")
    assert commit(checkout / "src" / "classaware") is None


def test_no_commit_without_git(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit(make_package(tmp_path / "plain" / "src" / "classaware")) is None
    empty = make_package(tmp_path / "empty" / "src" / "classaware")
    git(tmp_path / "empty", "init", "-q")
    git(tmp_path / "empty", "add", ".")
    assert commit(empty) is None  # no commit yet
    monkeypatch.setenv("PATH", "")
    assert commit(checkout / "src" / "classaware") is None


def test_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    with pytest.raises(OSError):
        sha256(tmp_path / "nothing")
    with pytest.raises(OSError):
        sha256(tmp_path)
