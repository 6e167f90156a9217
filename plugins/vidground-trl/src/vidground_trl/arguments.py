"""What is handed to TRL's config classes: our options under TRL's names, and what `extra` may add to them."""

from __future__ import annotations

import dataclasses
import difflib
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


def refuse_unknown(extra: Mapping[str, Any], *, arguments: type[Any], options: type[Any], trainer: str) -> None:
    """Raises ConfigError for an argument that TRL's `arguments` class does not have, or that is set by an option of our own."""
    names = {field.name for field in dataclasses.fields(arguments)}
    for name in extra:
        if name == "use_vllm" and name in names:
            raise ConfigError(f"extra: {vllm_problem(metadata.version('trl'))}")
        ours = _OURS.get(name, name)
        if ours in options.model_fields:
            raise ConfigError(f"extra: {name!r} is set by the option {ours!r} of {trainer}; set that instead")
        if name in _FIXED:
            raise ConfigError(f"extra: {name!r} is fixed by {trainer}; leave it out")
        if name not in names:
            close = "".join(f"; did you mean {other!r}?" for other in difflib.get_close_matches(name, names, n=1))
            raise ConfigError(f"extra: {name!r} is no argument of TRL's {arguments.__name__}{close or '; see its documentation'}")
