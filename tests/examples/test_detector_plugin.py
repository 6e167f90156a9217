"""The third-party example is built, installed beside the core, found, checked and used, as an outsider would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "detector-plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed from its own build, offline."""
    source = tmp_path_factory.mktemp("source") / "detector-plugin"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--disable-pip-version-check", "--target", str(target), str(source)], check=True, timeout=120)
    return target


@pytest.fixture
def env(site: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(site), "VG_LOAD_PLUGINS": "longest-option"}


def test_it_is_found_by_its_entry_point(vg: Callable[..., Any], env: dict[str, str]) -> None:
    ran = vg("--json", "detectors", env=env)
    assert ran.code == 0, ran.err
    assert "longest-option" in ran.out
    assert "longest-option" not in vg("--json", "detectors", env={"VG_LOAD_PLUGINS": ""}).out


def test_it_passes_its_contract(vg: Callable[..., Any], env: dict[str, str]) -> None:
    ran = vg("--json", "plugins", "check", "longest-option", env=env)
    assert ran.code == 0, ran.err
    assert ran.json["passed"] is True
    assert len(ran.json["checks"]) >= 12
    assert {each["component"] for each in ran.json["checks"]} == {"detector:longest-option"}


def test_it_audits_a_data_set(vg: Callable[..., Any], env: dict[str, str], tmp_path: Path) -> None:
    rows = [
        {"id": f"q{i}", "question": "?", "options": ["a long one", "short"], "answer": ("a long one", "short")[i % 4 == 0]}
        for i in range(40)
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = vg("--json", "audit", f"canonical:{path}", "--detector", "longest-option", "--out", tmp_path / "out", env=env)
    assert ran.code == 0, ran.err
    (judge,) = ran.json["judges"]
    assert (judge["name"], judge["n"], judge["accuracy"], judge["chance"]) == ("longest-option", 40, 0.75, 0.5)


def test_its_own_tests_pass_against_the_installed_package(site: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(EXAMPLE / "tests")]
    done = subprocess.run(command, env=env, cwd=site, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
