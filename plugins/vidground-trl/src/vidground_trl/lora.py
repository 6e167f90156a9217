"""LoRA (2106.09685) by peft: which layers get adapters, and the whole model out of them at the end."""

from __future__ import annotations

from typing import Any

# Linear layers of the language model; the vision tower and the merger stand under other names.
_LANGUAGE = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def adapters(config: Any) -> Any:
    """peft's configuration for the options; None where all weights are trained. The head never gets one: TRL's loss would pass it by."""
    if not config.lora_r:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear" if config.lora_on == "all" else _LANGUAGE,
        task_type="CAUSAL_LM",
    )


def whole(model: Any) -> Any:
    """The model with its adapters merged in, an ordinary one; a model without any as it is."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
