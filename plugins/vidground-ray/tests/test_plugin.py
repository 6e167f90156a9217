from __future__ import annotations

import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

import pytest
from vidground_ray.cluster import Cluster
from vidground_ray.config import RayConfig
from vidground_ray.executor import RayExecutor

from vidground_core import MissingBackendError
from vidground_core.plugins import load_registry
from vidground_core.testing import check_component


def test_it_is_found_by_its_entry_point() -> None:
    assert load_registry(restrict="ray").get("executor", "ray") is RayExecutor


def test_it_keeps_the_contract_of_a_component() -> None:
    checks = check_component("executor", RayExecutor)
    assert checks
    assert [check for check in checks if not check.ok] == []


def test_loading_and_building_import_no_ray(tmp_path: Path) -> None:
    code = """
import sys
from vidground_core.plugins import load_registry
from vidground_ray.config import RayConfig
executor = load_registry(restrict="ray").get("executor", "ray")(RayConfig(workers=2))
executor.close()
print([name for name in ("ray", "grpc", "torch", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingBackendError) as error:
        Cluster(RayConfig()).connect()
    assert str(error.value).startswith("the executor 'ray' needs Ray, which cannot be imported here (")
    assert str(error.value).endswith("): pip install 'vidground-ray[ray]'")


@pytest.mark.skipif(util.find_spec("ray") is not None, reason="Ray is installed here")
def test_vg_without_ray_ends_with_2_before_a_model_is_loaded(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "question": "Which?", "options": ["a", "b"], "answer": "a"}\n')
    command = [sys.executable, "-m", "vidground_core.cli.app", "detect", str(rows), "--detector", "blind-llm", "--model", "nano"]
    command += ["--executor", "ray", "--set", "executor.workers=2", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "pip install 'vidground-ray[ray]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_ray_is_an_extra_with_a_floor_and_a_ceiling() -> None:
    assert any(line.startswith("ray[client]<3,>=2.55; extra == ") for line in metadata.requires("vidground-ray") or ())
