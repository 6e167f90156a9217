"""What vg doctor finds here and in interpreters beside it, and whether its commands can be pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from vidground_core.experiments import doctor
from vidground_core.experiments.doctor import BACKENDS, Backend, examine, interpreters, pinned

ROOT = Path(doctor.__file__).parents[2]
MODULES = BACKENDS["openrlhf"][1]


def backend(name: str) -> Backend:
    found = next(each for each in examine()["backends"] if each["name"] == name)
    return Backend(**(found | {"missing": tuple(found["missing"])}))


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes an interpreter in this folder that has the modules, none of which can be imported, and the plugin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "elsewhere" / ".venv"))

    def make(folder: str, modules: tuple[str, ...]) -> Path:
        venv.create(tmp_path / folder, with_pip=False, symlinks=True)
        site = next((tmp_path / folder / "lib").glob("python*")) / "site-packages"
        for module in modules:
            (site / module).mkdir()
            (site / module / "__init__.py").write_text("raise SystemExit('it was imported')\n")
        (site / "vidground_openrlhf-0.1.0.dist-info").mkdir()
        (site / "vidground_openrlhf-0.1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: vidground-openrlhf\nVersion: 0.1.0\n"
        )
        return tmp_path / folder / "bin" / "python"

    return make


def test_a_backend_in_an_interpreter_of_its_own(interpreter: Callable[..., Path]) -> None:
    python = str(interpreter(".venv-openrlhf", MODULES))
    found = backend("openrlhf")
    assert found == Backend("openrlhf", True, (), "", f"in an interpreter of its own, named by --set trainer.python={python}", python)
    assert backend("vllm").python == ""


def test_what_that_interpreter_lacks(interpreter: Callable[..., Path]) -> None:
    python = str(interpreter(".venv-openrlhf", ("openrlhf", "ray")))
    found = backend("openrlhf")
    assert (found.works, found.missing, found.python) == (False, ("vllm", "deepspeed", "flash_attn"), python)
    assert "venv" not in found.mend.replace(".venv-openrlhf", "")
    assert f"{python} -m pip install" in found.mend


def test_an_interpreter_that_is_named(interpreter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interpreter(".venv-vllm", ())
    python = str(interpreter("vllm-of-mine", ("vllm",)))
    monkeypatch.setenv("VIDGROUND_PYTHON_VLLM", python)
    assert interpreters("vllm") == [python, str(tmp_path / ".venv-vllm" / "bin" / "python")]
    found = backend("vllm")
    assert (found.works, found.note) == (
        True, f"in an interpreter of its own, named by --set engine.mode=server --set engine.python={python}"
    )  # fmt: skip
    monkeypatch.setenv("VIDGROUND_PYTHON_VLLM", "/nowhere/python")
    assert backend("vllm").missing == ("vllm",)


def test_interpreters_beside_this_one(interpreter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = interpreter("project/.venv-openrlhf", ())
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "project" / ".venv"))
    assert interpreters("openrlhf") == [str(python)]


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("name", ["openrlhf", "vllm"])
def test_its_commands_can_be_pasted(name: str, tmp_path: Path) -> None:
    """By a shell whose python3 and pip say what they were told."""
    commands, told = backend(name).mend, tmp_path / "told"
    (tmp_path / "bin").mkdir()
    (tmp_path / f".venv-{name}" / "bin").mkdir(parents=True)
    for place in (tmp_path / "bin" / "python3", tmp_path / f".venv-{name}" / "bin" / "python"):
        place.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(told))}\n')
        place.chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    subprocess.run(["bash", "-euc", commands], check=True, env=env, cwd=tmp_path)
    lines = told.read_text().splitlines()
    assert lines[0] == f"-m venv .venv-{name}"
    assert all(line.startswith("-m pip install ") for line in lines[1:])
    assert len(lines) == len(commands.splitlines())


@pytest.mark.usefixtures("interpreter")
def test_openrlhf_is_installed_by_its_pins() -> None:
    found, pins = backend("openrlhf"), pinned("openrlhf")
    assert pins == ROOT / "constraints" / "openrlhf.txt"
    steps = found.mend.splitlines()[1:]
    assert all(f"--constraint {pins}" in step for step in steps)
    assert steps[1].removesuffix(" && \\").endswith("--no-build-isolation flash-attn==2.8.3")
    assert f"--editable {ROOT / 'plugins' / 'vidground-openrlhf'}" in steps[2]
    # "===" where a build for another platform, torch 2.13.0+cpu, would do as well.
    held = dict(re.split("={2,3}", line) for line in pins.read_text().splitlines())
    wanted = {"openrlhf", "vllm", "ray", "deepspeed", "flash-attn", "transformers", "torch", "setuptools", "wheel", "ninja", "psutil"}
    assert wanted <= held.keys()
    assert f"torch=={held['torch']} " in steps[0]
    assert f"flash-attn=={held['flash-attn']} " in steps[1]
    assert f"'openrlhf[vllm]=={held['openrlhf']}' " in steps[2]
    assert "it needs nvcc and takes half an hour or more" in found.note
    assert pinned("nothing") is None


def test_openrlhf_is_tested_under_the_pins_it_is_installed_by() -> None:
    settings = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("test-backend-openrlhf:")]
    assert settings
    assert not any(" PINS " in line for line in settings), "the pins are constraints/openrlhf.txt, by the back-end's name"
