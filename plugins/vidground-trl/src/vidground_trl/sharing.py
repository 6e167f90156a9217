"""Several processes in one training: are they as many as planned, and the whole weights out of sharded ones."""

from __future__ import annotations

from typing import Any

import torch

from vidground_core import ConfigError


def refuse_other_processes(config: Any, started: int, cpu: bool) -> None:
    """Raises ConfigError where not as many processes train as the batch was planned for, or GPUs are missing for them."""
    wanted = config.processes
    if cpu and wanted > 1 and config.device != "cpu":
        raise ConfigError(f"processes = {wanted} with device = {config.device!r} takes GPUs, but torch sees none here; set device to cpu")
    if not cpu and torch.cuda.device_count() < min(wanted, started):
        seen = torch.cuda.device_count()
        raise ConfigError(f"processes = {wanted}, but torch sees {seen} GPUs here; set processes to {seen}, or free more of them")
    if started != wanted:
        raise ConfigError(f"processes = {wanted}, but {started} were started; start the worker by the command in plan.json")


def gathered(trainer: Any) -> dict[str, torch.Tensor] | None:
    """The whole weights by name where the processes hold shares of them; None where each holds all. All processes must call it."""
    if not is_sharded(trainer):
        return None
    weights: dict[str, torch.Tensor] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    tied = trainer.accelerator.unwrap_model(trainer.model).all_tied_weights_keys  # one of each pair is saved, as elsewhere
    return {name: value for name, value in weights.items() if name not in tied}


def is_sharded(trainer: Any) -> bool:
    """Whether no process holds the whole weights."""
    return bool(trainer.is_fsdp_enabled or _is_zero3(trainer.accelerator))


def _is_zero3(accelerator: Any) -> bool:
    plugin = getattr(accelerator.state, "deepspeed_plugin", None)
    return plugin is not None and plugin.zero_stage == 3
