"""What must be there before a training starts: packages of its interpreter, options that its OpenRLHF knows, GPUs, an image model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from vidground_openrlhf import parser_options
from vidground_openrlhf.cluster import ask
from vidground_openrlhf.config import OpenRLHFConfig

# Flash attention stands here although nothing below imports it: OpenRLHF does, always, whatever ds.attn_implementation says.
NEEDED = ("openrlhf>=0.11.2,<0.12", "ray", "vllm", "deepspeed", "flash-attn", "transformers", "tensorboard", "vidground-openrlhf")
MEND = "vg doctor prints the commands that make its environment; name its interpreter with trainer.python"
_VERSIONS = """
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""
_TIMEOUT = 60
# The most that Ray's state API lists at once; without a limit it lists 100.
_MOST_NODES = 10_000


def interpreter_problems(python: str, flags: Sequence[str]) -> list[str]:
    """Packages that the interpreter lacks or has in another version, and options that its OpenRLHF does not know, a sentence each."""
    needed = [Requirement(line) for line in NEEDED]
    try:
        versions: Mapping[str, str | None] = json.loads(_run([python, "-c", _VERSIONS, *(each.name for each in needed)]))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [f"python = {python!r} is no interpreter that runs here ({error.__class__.__name__}); give the path of one."]
    found = []
    for each in needed:
        version = versions[each.name]
        if version is None:
            found.append(f"{each.name} is not installed for {python}; {MEND}.")
        elif not each.specifier.contains(version, prereleases=True):
            found.append(f"{each.name} {version} is installed for {python}, and {each} is needed; {MEND}.")
    return found + (_unknown_flags(python, flags) if versions["openrlhf"] else [])


def _unknown_flags(python: str, flags: Sequence[str]) -> list[str]:
    """Argparse takes abbreviations, so an option that was renamed could become another one: names are compared exactly."""
    try:
        known = json.loads(_run([python, str(Path(parser_options.__file__))]))
    except (subprocess.SubprocessError, ValueError) as error:
        detail = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return [f"the options of OpenRLHF for {python} cannot be read ({detail[-1] if detail else error.__class__.__name__})."]
    unknown = [flag for flag in flags if flag.startswith("--") and flag not in known["options"]]
    version = known["version"]
    return [f"OpenRLHF {version} has no option {flag}; leave it out of trainer.extra, or install openrlhf 0.11.2." for flag in unknown]


def _run(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT, check=True).stdout


def gpu_problem(config: OpenRLHFConfig, devices: str) -> str:
    """Why there are too few GPUs, empty where there are enough. OpenRLHF itself would wait for them for ever."""
    if config.launch == "ray-job":
        return _cluster_problem(config)
    if config.nodes > 1:
        return f"nodes = {config.nodes!r} needs a Ray cluster; set launch = ray-job and ray_address."
    there = local_gpus(devices)
    if there >= config.gpus:
        return ""
    return f"gpus = {config.gpus!r} are asked for and {there} are here; set trainer.gpus, or launch = ray-job and ray_address."


def local_gpus(devices: str = "") -> int:
    """GPUs that a process started here may use."""
    chosen = devices or os.environ.get("CUDA_VISIBLE_DEVICES")
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    there = sum(line.startswith("GPU ") for line in done.stdout.splitlines()) if done.returncode == 0 else 0
    return there if chosen is None else min(there, len([name for name in chosen.split(",") if name.strip()]))


def _cluster_problem(config: OpenRLHFConfig) -> str:
    wanted = config.nodes * config.gpus
    try:
        there = cluster_gpus(config.ray_address)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"ray_address = {config.ray_address!r}: no Ray dashboard answers there ({error}); start the cluster, or give its dashboard."
    if there >= wanted:
        return ""
    return f"{wanted} GPUs are asked for ({config.nodes} nodes with {config.gpus}), and the Ray cluster has {there:g}; set trainer.gpus."


def cluster_gpus(address: str) -> float:
    """GPUs of a Ray cluster's living nodes, by the state API of its dashboard; raises OSError where none answers.

    The nodes say it as soon as they have joined. The autoscaler's report in `/api/cluster_status` is empty until seconds after the start.
    """
    nodes = ask(address, f"/api/v0/nodes?limit={_MOST_NODES}")["data"]["result"]["result"]
    return sum(float(node["resources_total"].get("GPU", 0)) for node in nodes if node["state"] == "ALIVE")


def model_problem(model: str) -> str:
    """Why a local folder is no model that is shown images; names of a hub are not looked up here."""
    folder = Path(model)
    if not folder.exists():
        local = model.startswith(("/", ".", "~")) or model.count("/") > 1
        return f"model = {model!r} does not exist; give a checkpoint's folder or a hub name." if local else ""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"model = {model!r} is no checkpoint: it has no readable config.json."
    if "vision_config" in config:
        return ""
    return f"model = {model!r} ({config.get('model_type', 'unknown type')}) takes no images; name a vision-language model."


def own_interpreter(config: OpenRLHFConfig) -> str:
    """The interpreter that trains."""
    return config.python or sys.executable
