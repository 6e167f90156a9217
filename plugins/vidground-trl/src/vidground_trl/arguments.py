"""What is handed to TRL's config classes: our options under TRL's names, and what `extra` may add to them."""

from __future__ import annotations

import dataclasses
import difflib
import json
import subprocess
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from vidground_core import ConfigError
from vidground_trl.vllm_rollouts import vllm_problem

# What our own options stand for, so that nobody sets one thing in two places.
_OURS = {
    "learning_rate": "lr",
    "lr_scheduler_type": "schedule",
    "max_steps": "prompts",
    "per_device_train_batch_size": "micro_batch",
    "gradient_accumulation_steps": "micro_batch",
    "steps_per_generation": "micro_batch",
    "generation_batch_size": "prompts_per_step",
    "save_total_limit": "keep_checkpoints",
}
_FIXED = (
    *("output_dir", "shuffle_dataset", "train_sampling_strategy", "remove_unused_columns", "generation_kwargs", "reward_weights"),
    *("report_to", "use_cpu", "model_init_kwargs", "push_to_hub", "max_length", "packing", "padding_free", "dataloader_num_workers"),
)


_FIELDS = """
import dataclasses, json, sys
import trl
print(json.dumps({"version": trl.__version__, "names": [field.name for field in dataclasses.fields(getattr(trl, sys.argv[1]))]}))
"""


def refuse_unknown(extra: Mapping[str, Any], *, arguments: type[Any], options: type[Any], trainer: str) -> None:
    """Raises ConfigError for an argument that TRL's `arguments` class does not have, or that is set by an option of our own."""
    named = Arguments(arguments.__name__, frozenset(field.name for field in dataclasses.fields(arguments)), metadata.version("trl"))
    for found in extra_problems(extra, named, options=options, trainer=trainer):
        raise ConfigError(found)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """TRL's config class of that name: its arguments, and the version of TRL that it is of."""

    name: str
    fields: frozenset[str]
    trl: str


def arguments_of(name: str, python: str) -> Arguments | None:
    """That class in the interpreter `python`, which imports TRL for it; None where it cannot."""
    argv = [python, "-c", _FIELDS, name]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
    return Arguments(name, frozenset(found["names"]), found["version"])


def extra_problems(extra: Mapping[str, Any], arguments: Arguments, *, options: type[Any], trainer: str) -> list[str]:
    """Why each argument in `extra` is refused, one sentence each; pure."""
    return [f"extra: {found}" for name in extra if (found := _problem(name, arguments, options, trainer))]


def _problem(name: str, arguments: Arguments, options: type[Any], trainer: str) -> str:
    if name == "use_vllm" and name in arguments.fields:
        return vllm_problem(arguments.trl)
    ours = _OURS.get(name, name)
    if ours in options.model_fields:
        return f"{name!r} is set by the option {ours!r} of {trainer}; set that instead"
    if name in _FIXED:
        return f"{name!r} is fixed by {trainer}; leave it out"
    if name in arguments.fields:
        return ""
    close = "".join(f"; did you mean {other!r}?" for other in difflib.get_close_matches(name, arguments.fields, n=1))
    return f"{name!r} is no argument of TRL's {arguments.name}{close or '; see its documentation'}"
