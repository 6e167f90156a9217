"""Whether a training keeps its weights in float32: without that AdamW's updates are lost between two numbers of bfloat16."""

from __future__ import annotations

from typing import Any

from vidground_core import ConfigError


def keeps_float32(config: Any) -> bool:
    """Whether what the optimizer changes is float32, with these options.

    accelerate's `fsdp2_prepare_model` makes the shards float32, and DeepSpeed keeps a float32 copy of what it trains, where computing is in
    bfloat16; peft makes its adapters float32. Under DDP, or in one process, the weights are what `weights` says.
    """
    if config.weights == "float32" or getattr(config, "lora_r", 0):
        return True
    return bool(config.parallel != "ddp" and config.bf16 != "off")


def precision_problems(config: Any) -> list[str]:
    """Why weights in bfloat16 alone are refused, in one sentence with what to set instead."""
    if keeps_float32(config):
        return []
    if config.parallel != "ddp":
        return [
            f"weights = {config.weights!r} with bf16 = {config.bf16!r} leaves no float32 weights under parallel = {config.parallel!r}, and "
            f"updates of lr = {config.lr!r} are rounded away; set bf16 to on, or weights to float32."
        ]
    return [
        f"weights = {config.weights!r} under parallel = {config.parallel!r} leaves no float32 weights: most updates of lr = {config.lr!r} "
        "are smaller than half the distance between two numbers of bfloat16 and are rounded away; set weights to float32 and bf16 to "
        "on, or parallel to fsdp2 or deepspeed-zero2, which keep float32 weights beside, or train adapters (lora_r)."
    ]


def refuse_rounding(config: Any) -> None:
    """Raises ConfigError for what `precision_problems` finds."""
    for found in precision_problems(config):
        raise ConfigError(found)
