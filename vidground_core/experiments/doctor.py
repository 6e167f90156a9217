"""What works on this machine, found without importing any back-end: packages, plugins, GPUs, decoders, and what mends a gap."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from typing import Any

# Back-end: its plugin's distribution, the modules it needs, and the command that installs it.
BACKENDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "transformers": ("vidground-transformers", ("torch", "torchvision", "transformers")),
    "trl": ("vidground-trl", ("torch", "torchvision", "transformers", "trl", "datasets", "accelerate")),
    "openrlhf": ("vidground-openrlhf", ("openrlhf", "ray", "vllm", "deepspeed", "flash_attn")),
    "vllm": ("vidground-vllm", ("vllm",)),
    "ray": ("vidground-ray", ("ray",)),
}
# Its pins exclude those of trl, so an interpreter of its own; flash-attn has no wheel and is built against the torch that is there.
OPENRLHF = (
    "python -m venv .venv-openrlhf"
    " && .venv-openrlhf/bin/pip install torch==2.13.0 setuptools wheel packaging ninja psutil"
    " && .venv-openrlhf/bin/pip install --no-build-isolation flash-attn==2.8.3"
    " && .venv-openrlhf/bin/pip install 'openrlhf[vllm]==0.11.2' vidground-openrlhf"
    " (flash-attn is compiled: it needs nvcc and takes half an hour or more); then --set trainer.python=.venv-openrlhf/bin/python"
)
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
    """Whether a back-end can be used from this interpreter, what is missing, and the command that mends it."""

    name: str
    works: bool
    missing: tuple[str, ...]
    mend: str


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
    missing = [module for module in modules if util.find_spec(module) is None]
    if _installed(distribution) is None:
        missing.insert(0, distribution)
    return Backend(name, not missing, tuple(missing), _mend(distribution, missing))


def _mend(distribution: str, missing: list[str]) -> str:
    if not missing:
        return ""
    if distribution == "vidground-openrlhf":
        return OPENRLHF
    if "vllm" in missing:
        return f"pip install '{distribution}[vllm]' (in an interpreter of its own, which engine.python names with engine.mode=server)"
    if "ray" in missing:
        return f"pip install '{distribution}[ray]'"
    return f"pip install {distribution}"


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
