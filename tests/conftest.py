"""What all tests share: running `vg` in this process or in one of its own, and plugins made on the spot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Ran:
    """What a `vg` process left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_vg(*arguments: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
    """Runs `vg` in a process of its own, as a user would."""
    command = [sys.executable, "-W", "error::UserWarning", "-m", "vidground_core.cli.app", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})}, cwd=cwd, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def vg() -> Callable[..., Ran]:
    return run_vg


@pytest.fixture
def shared() -> Path:
    """The shared data folder beside the checkout; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared data beside the checkout ({SHARED})")
    return SHARED


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes an installed distribution on sys.path: `make_plugin("name", source, version="1.0", module=...)`."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(name: str, source: str, *, entry: str | None = None) -> Path:
        module = f"made_{name.replace('-', '_')}"
        monkeypatch.delitem(sys.modules, module, raising=False)  # one of an earlier test
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[vidground]\n{entry or name} = {module}\n")
        return site

    return make
