from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vidground_core.models import resolve_model
from vidground_core.models.checkpoints import commit, contents, read_config, sees


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(resolve_model("nano"), tmp_path / "model"))


def test_contents_follow_the_files_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    before = contents(str(folder), None)
    assert before.startswith("sha256:")
    moved = folder.rename(tmp_path / "moved")
    (moved / "notes.md").write_text("read by nobody")
    assert contents(str(moved), None) == before
    settings = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(settings | {"rope_theta": 7.0}))
    assert contents(str(moved), None) != before


def test_what_a_config_says(folder: Path, tmp_path: Path) -> None:
    config = read_config(str(folder), None)
    assert config is not None
    assert sees(config)
    assert not sees({"model_type": "llama"})
    assert read_config(str(tmp_path / "nowhere"), None) is None
    (folder / "config.json").write_text("no JSON")
    assert read_config(str(folder), None) is None


def test_hub_names_without_the_hubs_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert read_config("someone/model", None) is None
    assert commit("someone/model", None) is None
    assert contents("someone/model", "v1") == "someone/model@v1"
    assert contents("someone/model", None) == "someone/model@main"


def test_no_model_library_is_imported(folder: Path) -> None:
    program = (
        f"import sys; from vidground_core.models.checkpoints import contents; contents({str(folder)!r}, None)\n"
        "print({'torch', 'transformers', 'numpy', 'huggingface_hub'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "set()"
