"""A new plugin works before its author has changed a line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import ConfigError, InputError
from vidground_core.plugin_template import new_plugin


def test_it_is_a_package_with_entry_point_and_contract_test(tmp_path: Path) -> None:
    made = new_plugin("vidground-my-probe", tmp_path)
    assert made == tmp_path / "vidground-my-probe"
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert files == {
        "pyproject.toml",
        "README.md",
        "src/vidground_my_probe/__init__.py",
        "src/vidground_my_probe/py.typed",
        "src/vidground_my_probe/plugin.py",
        "src/vidground_my_probe/detector.py",
        "tests/test_my_probe.py",
    }
    assert 'my-probe = "vidground_my_probe.plugin"' in (made / "pyproject.toml").read_text()


def in_package(made: Path, *command: str) -> None:
    env = os.environ | {"PYTHONPATH": str(made / "src")}
    done = subprocess.run([sys.executable, "-m", *command], cwd=made, env=env, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_tests_pass_and_its_code_is_clean(tmp_path: Path) -> None:
    made = new_plugin("vidground-my-probe", tmp_path)
    in_package(made, "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    third_party = 'lint.isort.known-third-party=["vidground_core"]'
    in_package(
        made, "ruff", "check", "--no-cache", "--isolated", "--select", "E,F,I,UP,B", "--config", third_party, "--line-length", "140", "."
    )
    in_package(made, "ruff", "format", "--check", "--no-cache", "--isolated", "--line-length", "140", ".")


@pytest.mark.slow
def test_its_code_is_typed(tmp_path: Path) -> None:
    made = new_plugin("vidground-my-probe", tmp_path)
    in_package(made, "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "src")


def test_it_is_made_by_the_command_installed_and_keeps_its_contract(vg: Callable[..., Any], tmp_path: Path) -> None:
    made = vg("plugins", "new", "vidground-my-probe", "--folder", tmp_path)
    assert made.code == 0, made.err
    assert "pip install -e" in made.out
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(site), str(tmp_path / "vidground-my-probe")]
    subprocess.run(command, check=True, timeout=120)
    ran = vg("--json", "plugins", "check", "vidground-my-probe", env={"PYTHONPATH": str(site), "VG_LOAD_PLUGINS": "my-probe"})
    assert ran.code == 0, ran.err
    assert ran.json["passed"] is True


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("my-probe", "write 'vidground-my-probe'"),
        ("vidground_My_Probe", "write 'vidground-my-probe'"),
        ("vidground-", "such as 'vidground-my-detector'"),
        ("../up", "write 'vidground-up'"),
    ],
)
def test_a_name_that_cannot_be_a_distribution_s_is_refused_with_one_that_can(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=f"expected 'vidground-' and lower-case words joined by '-'; {advice}"):
        new_plugin(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "vidground-my-probe").mkdir()
    with pytest.raises(InputError, match="exists already; choose another name or --folder, or remove it"):
        new_plugin("vidground-my-probe", tmp_path)
