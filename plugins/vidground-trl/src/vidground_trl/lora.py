"""LoRA (2106.09685) by peft: which layers get adapters, and the whole model out of them at the end."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vidground_trl.running import RunningOptions

# Linear layers of the language model; the vision tower and the merger stand under other names.
_LANGUAGE = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


class LoraOptions(RunningOptions):
    """Options of LoRA."""

    lora_r: int = Field(0, ge=0, description="Rank of LoRA adapters, merged into the checkpoint at the end; 0 trains all weights.")
    lora_alpha: float = Field(32.0, gt=0, description="Scale of the LoRA adapters: they are weighted by lora_alpha / lora_r.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the LoRA adapters.")
    lora_on: Literal["language", "all"] = Field("language", description="Which linear layers get adapters: the language model's, or all.")


def lora_problems(config: Any) -> list[str]:
    """Why adapters do not go with the other settings."""
    if not config.lora_r:
        return []
    found = []
    if getattr(config, "reference", ""):
        found.append(
            f"reference = {config.reference!r} and lora_r = {config.lora_r!r}: with adapters TRL takes the divergence to the model without "
            "them, and the reference would not be used; set lora_r = 0, or leave reference out."
        )
    if config.parallel != "ddp":
        found.append(
            f"parallel = {config.parallel!r} and lora_r = {config.lora_r!r} are not merged into one checkpoint here; set parallel = 'ddp'."
        )
    return found


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
