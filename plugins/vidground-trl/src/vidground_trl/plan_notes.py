"""What a plan says of a training besides what it would start: the memory that it needs on a GPU."""

from __future__ import annotations

from typing import Any

from vidground_trl.memory import Load, estimate, visual_load
from vidground_trl.model_size import ModelSize, size_of

# Tokens of a question with its options and instruction, and of a taught answer with some reasoning.
TEXT, ANSWER = 300, 256


def notes(config: Any, model: str) -> tuple[str, ...]:
    """The estimate for a GPU in words; nothing for a CPU."""
    if config.device == "cpu":
        return ()
    size = size_of(model)
    if size is None:
        return (f"memory is not estimated: the config.json of {model!r} is not here, and its size is not known by name",)
    found = estimate(size, load(config, size))
    said = f"memory, estimated: {found.sentence()}"
    return (f"{said}; {TEXT} tokens of text a prompt and frames of the largest size allowed are assumed",)


def load(config: Any, size: ModelSize) -> Load:
    """What one process of a training with these options holds."""
    group = getattr(config, "num_generations", 1)
    share = max(1, config.prompts_per_step * group // config.processes)
    pair = 2 if hasattr(config, "rejected_tokens") else 1
    rows = (config.micro_batch or share) * pair
    patches, tokens = visual_load(size, frames=config.frames, pixels=config.max_pixels, images=config.video == "images")
    half = config.bf16 == "on" or config.bf16 == "auto"
    return Load(
        prompt=tokens + TEXT,
        completion=getattr(config, "max_completion_length", ANSWER),
        patches=patches,
        rows=rows,
        videos=min(rows, max(1, config.prompts_per_step // config.processes)) if config.share_videos else rows,
        rollouts=share if group > 1 else 0,
        weights=2 if config.weights == "bfloat16" else 4,
        compute=2 if half or config.weights == "bfloat16" else 4,
        reference=bool(getattr(config, "beta", 0)),
        checkpointing=config.gradient_checkpointing,
        processes=config.processes,
        parallel=config.parallel,
        trained=_adapters(config, size),
    )


def _adapters(config: Any, size: ModelSize) -> int | None:
    """Parameters of LoRA adapters on the language model; None where all weights are trained."""
    rank, text = getattr(config, "lora_r", 0), size.text
    if not rank:
        return None
    ends = 2 * (text.hidden + text.queries) + 2 * (text.hidden + text.keys) + 3 * (text.hidden + text.intermediate)
    return int(rank * ends * text.layers)
