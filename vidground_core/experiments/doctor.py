"""What works on this machine, found without importing any back-end: packages, plugins, GPUs, decoders, and what mends a gap."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

# Back-end: its plugin's distribution, and the modules it needs.
BACKENDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "transformers": ("vidground-transformers", ("torch", "torchvision", "transformers")),
    "trl": ("vidground-trl", ("torch", "torchvision", "transformers", "trl", "datasets", "accelerate")),
    "openrlhf": ("vidground-openrlhf", ("openrlhf", "ray", "vllm", "deepspeed", "flash_attn")),
    "vllm": ("vidground-vllm", ("vllm",)),
    "ray": ("vidground-ray", ("ray",)),
}
# Back-ends whose pins exclude those of the others, and how an interpreter of their own is named.
ELSEWHERE: Mapping[str, str] = {
    "openrlhf": "--set trainer.python={python}",
    "vllm": "--set engine.mode=server --set engine.python={python}",
}
COMPILES = "Python 3.11 or 3.12; the step of flash-attn compiles it: it needs nvcc and takes half an hour or more"
# What an interpreter that is asked runs: it searches and imports nothing.
_SEARCH = """
import json, sys
from importlib import metadata, util
modules, distributions = map(json.loads, sys.argv[1:3])
there = {(each.metadata["Name"] or "").lower() for each in metadata.distributions()}
print(json.dumps([each for each in distributions if each not in there] + [each for each in modules if util.find_spec(each) is None]))
"""
_TIMEOUT = 60
PACKAGES = (
    "vidground-core",
    "torch",
    "torchvision",
    "transformers",
    "trl",
    "openrlhf",
    "vllm",
    "ray",
    "decord",
    "av",
    "scikit-learn",
    "pyarrow",
)


@dataclass(frozen=True)
class Backend:
    """Whether a back-end can be used, and what is `missing`: here, or in the interpreter `python` where that is not empty.

    `mend` holds shell commands to be pasted, `note` what they take and how an interpreter of its own is named.
    """

    name: str
    works: bool
    missing: tuple[str, ...]
    mend: str
    note: str
    python: str


def examine() -> dict[str, Any]:
    """The object of `vg doctor --json`."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _installed(name))},
        "backends": [vars(backend) | {"missing": list(backend.missing)} for backend in map(_backend, BACKENDS)],
        "gpus": gpus(),
        "decoders": {name: version for name in ("decord", "av") if (version := _installed(name))},
    }


def _backend(name: str) -> Backend:
    distribution, modules = BACKENDS[name]
    unplugged = [distribution] if _installed(distribution) is None else []
    missing, python = [module for module in modules if util.find_spec(module) is None], ""
    if missing and name in ELSEWHERE:
        asked = {place: found for place in interpreters(name) if (found := _ask(place, name)) is not None}
        if asked:
            python = min(asked, key=lambda place: len(asked[place]))
            missing = asked[python]
    missing = unplugged + [each for each in missing if each not in unplugged]
    mend = _mend(name, missing, python) if missing else ""
    return Backend(name, not missing, tuple(missing), mend, _note(name, missing, python), python)


def interpreters(name: str) -> list[str]:
    """Interpreters that may have a back-end: what VIDGROUND_PYTHON_<NAME> names, then `.venv-<name>` here, and beside this one's folder."""
    given = os.environ.get(f"VIDGROUND_PYTHON_{name.upper()}")
    folders = dict.fromkeys((Path.cwd(), Path(sys.prefix).parent))
    found = [given] if given else []
    return found + [str(place) for folder in folders if (place := folder / f".venv-{name}" / "bin" / "python").is_file()]


def _ask(python: str, name: str) -> list[str] | None:
    """What a back-end misses in another interpreter, by that one's own search; None where it does not run."""
    distribution, modules = BACKENDS[name]
    # OpenRLHF calls our rewards there; vLLM's server needs nothing of ours.
    plugins = [distribution] if name == "openrlhf" else []
    argv = [python, "-I", "-c", _SEARCH, json.dumps(modules), json.dumps(plugins)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
        missing: list[str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return missing


def _note(name: str, missing: list[str], python: str) -> str:
    if name not in ELSEWHERE or (not missing and not python):
        return ""
    named = "in an interpreter of its own, named by " + ELSEWHERE[name].format(python=python or f".venv-{name}/bin/python")
    return f"{named}. {COMPILES}" if name == "openrlhf" and missing else named


def _mend(name: str, missing: list[str], python: str) -> str:
    distribution, _ = BACKENDS[name]
    extra = "[ray]" if "ray" in missing and name == "ray" else ""
    here = f"{shlex.quote(sys.executable)} -m pip install {_package(distribution, extra)}"
    unplugged = _installed(distribution) is None
    if name not in ELSEWHERE or (unplugged and missing == [distribution]):
        return here
    own = shlex.quote(python) if python else f".venv-{name}/bin/python"
    made = [] if python else [f"python3 -m venv .venv-{name}"]
    steps = _openrlhf(own) if name == "openrlhf" else _vllm(own)
    return " && \\\n".join([*([here] if unplugged else []), *made, *steps])


def _openrlhf(python: str) -> list[str]:
    """flash-attn has no wheel: it is built against the torch that is there, in a step of its own."""
    pins = pinned("openrlhf")
    install = f"{python} -m pip install" + (f" --constraint {shlex.quote(str(pins))}" if pins else "")
    return [
        f"{install} torch==2.13.0 setuptools wheel packaging ninja psutil",
        f"{install} --no-build-isolation flash-attn==2.8.3",
        f"{install} 'openrlhf[vllm]==0.11.2' {_package('vidground-core')} {_package('vidground-openrlhf')}",
    ]


def _vllm(python: str) -> list[str]:
    return [f"{python} -m pip install {_package('vidground-core')} {_package('vidground-vllm', '[vllm]')}"]


def pinned(name: str) -> Path | None:
    """The file with every version that a back-end was resolved to; None where this is not run from the sources, which have it."""
    place = Path(__file__).parents[2] / "constraints" / f"{name}.txt"
    return place if place.is_file() else None


def _package(distribution: str, extra: str = "") -> str:
    """What pip is told to install: a folder of the sources where this is run from them, else the name."""
    sources = Path(__file__).parents[2]
    folder = sources if distribution == "vidground-core" else sources / "plugins" / distribution
    if (folder / "pyproject.toml").is_file() and (sources / "plugins").is_dir():
        return f"--editable {shlex.quote(f'{folder}{extra}')}"
    return shlex.quote(f"{distribution}{extra}")


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def gpus() -> list[str]:
    """One line a GPU, as `nvidia-smi -L` prints it; empty where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in done.stdout.splitlines() if line.startswith("GPU")] if done.returncode == 0 else []
