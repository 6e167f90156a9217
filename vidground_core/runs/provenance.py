"""What a run was made with: package versions and the git revision, without importing any package."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "accelerate",
    "av",
    "decord",
    "numpy",
    "openai",
    "openrlhf",
    "peft",
    "pyarrow",
    "pydantic",
    "ray",
    "scikit-learn",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
    "vidground-core",
    "vllm",
)


def command() -> list[str]:
    """The `vg` command that runs this process, word by word; empty where VidGround is used as a library."""
    program = Path(sys.argv[0])
    is_vg = program.name == "vg" or (program.name == "app.py" and program.parent.name == "cli")
    return ["vg", *sys.argv[1:]] if is_vg else []


def package_versions() -> dict[str, str]:
    """Versions by distribution name: Python, VidGround's own packages and plugins, and the back-ends that are installed."""
    plugins = {point.dist.name for point in metadata.entry_points(group="vidground") if point.dist}
    versions = {"python": platform.python_version()}
    for name in sorted(plugins.union(_PACKAGES)):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_revision() -> str | None:
    """The commit checked out in the current directory; None outside a repository or without git."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
