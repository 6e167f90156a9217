from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vidground_core.runs.provenance import git_revision, package_versions


def test_versions_are_read_without_importing_anything_heavy() -> None:
    script = "import sys; from vidground_core.runs.provenance import package_versions; package_versions()\n"
    script += "print([name for name in ('torch', 'transformers', 'trl', 'av', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_versions_name_python_the_core_and_what_is_installed() -> None:
    versions = package_versions()
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"vidground-core", "numpy", "pyarrow"} <= versions.keys()
    assert "openrlhf-not-there" not in versions


def test_git_revision_is_that_of_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert git_revision() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", "."], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert git_revision() == head


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert git_revision() is None
