"""An engine of a plugin of its own, known to every `vg` that a test starts."""

from __future__ import annotations

from pathlib import Path

import pytest

ENGINE = Path(__file__).with_name("counting_engine.py")


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installs the engine `counting` below a folder, which is returned; no other plugin is loaded."""
    site, info = tmp_path / "site", tmp_path / "site" / "counting-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "counting_engine.py").write_text(ENGINE.read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vidground]\ncounting = counting_engine\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("VG_LOAD_PLUGINS", "counting")
    return tmp_path
