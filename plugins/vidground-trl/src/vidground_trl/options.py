"""Options that the trainers here share, and the numbers that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from vidground_trl.config import PRESETS, Schedule
from vidground_trl.lora import LoraOptions, lora_problems
from vidground_trl.media_options import MediaOptions

_PAPER = (
    *(
        "prompts",
        "prompts_per_step",
        "micro_batch",
        "lr",
        "schedule",
        "weight_decay",
        "max_grad_norm",
        "frames",
        "min_pixels",
        "max_pixels",
        "max_prompt_tokens",
    ),
    *("accuracy", "gradient_checkpointing", "bf16", "weights", "attention"),
)
PAPER: Mapping[str, Any] = {name: PRESETS["paper"][name] for name in _PAPER}
"""Table 7 of the VidGround paper, as far as it is about data and optimizer and not about rollouts."""
_NANO = ("weight_decay", "max_grad_norm", "frames", "prompt", "answer_format", "accuracy", "gradient_checkpointing", "device")
NANO: Mapping[str, Any] = {name: PRESETS["nano"][name] for name in _NANO}
"""What suits the shipped nano checkpoint, whatever it is trained by."""


class TrainingOptions(MediaOptions, LoraOptions):
    """What every trainer here is told; a preset fills in what is not set, and the config that comes out holds every value in use."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"none": {}}

    preset: Literal["none", "nano", "paper"] = Field("none", description="Values for all options that are not set: nano, paper or none.")
    prompts: int = Field(0, ge=0, description="Prompts to consume, rounded up to whole steps; 0 for one pass over the data.")
    prompts_per_step: int = Field(8, ge=1, description="Prompts of an optimizer step, over all processes.")
    micro_batch: int = Field(0, ge=0, description="Prompts in one forward and backward pass of a process; 0 for all of a step's.")
    processes: int = Field(1, ge=1, description="Processes to train with, one a GPU, started by `accelerate launch`.")
    lr: float = Field(1e-6, gt=0, description="Peak learning rate of AdamW.")
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine"] = Field("constant", description="Learning-rate schedule.")
    warmup_steps: int = Field(0, ge=0, description="Optimizer steps of linear warm-up.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are clipped to this norm; 0 for no clipping.")
    frames: int = Field(16, ge=1, description="Frames sampled uniformly from each video.")
    min_pixels: int = Field(0, ge=0, description="Fewest pixels of a frame after resizing; 0 for the processor's own.")
    max_pixels: int = Field(0, ge=0, description="Most pixels of a frame after resizing; 0 for the processor's own.")
    prompt: str = Field("bare", description="Name of the prompt that questions are asked with.")
    answer_format: Literal["plain", "think"] = Field("plain", description="think asks for <think> and <answer> tags; plain for the answer.")
    accuracy: Literal["option-text", "letter"] = Field("letter", description="What counts as right: the option's text or its letter.")
    save_steps: int = Field(50, ge=1, description="Optimizer steps between two checkpoints that a broken run resumes from.")
    keep_checkpoints: int = Field(2, ge=2, description="Checkpoints kept; two, so that one is whole while the next is written.")
    logging_steps: int = Field(1, ge=1, description="Optimizer steps between two lines of metrics.jsonl.")
    gradient_checkpointing: bool = Field(True, description="Recompute activations in the backward pass to save memory.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train; auto takes a GPU where there is one.")
    bf16: Literal["auto", "on", "off"] = Field("auto", description="Compute in bfloat16; auto: on a GPU.")
    weights: Literal["float32", "bfloat16"] = Field("float32", description="What the weights are held in while training.")
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field("auto", description="Attention implementation.")
    share_videos: bool = Field(True, description="Run the vision tower once for each distinct video of a batch, not once a row.")
    cache_mb: int = Field(512, ge=1, description="Processed videos kept in memory, in MiB; those of the current batch always are.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the model.")
    extra: dict[str, Any] = Field(default_factory=dict, description="Further arguments of TRL's config class by name; refused if unknown.")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        return {**cls.presets.get(str(values.get("preset", "none")), {}), **values} if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _pixels_in_order(self) -> TrainingOptions:
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels = {self.min_pixels} is more than max_pixels = {self.max_pixels}")
        return self


def batch_schedule(config: TrainingOptions, rows: int) -> Schedule:
    """The schedule of a trainer without rollouts. Raises ValueError where the batch does not divide, with how to mend it."""
    found = batch_problems(config)
    if found:
        raise ValueError(found[0])
    steps = -(-(config.prompts or rows) // config.prompts_per_step)
    share = config.prompts_per_step // config.processes
    micro_batch = config.micro_batch or share
    return Schedule(
        steps=steps,
        prompts=steps * config.prompts_per_step,
        rollouts=config.prompts_per_step,
        micro_batch=micro_batch,
        accumulation=share // micro_batch,
    )


def training_problems(config: TrainingOptions) -> list[str]:
    """Settings that are valid one by one but not together, of a trainer without rollouts."""
    return [*lora_problems(config), *batch_problems(config)]


def batch_problems(config: TrainingOptions) -> list[str]:
    """Settings of the batch that do not go together, one sentence with the next valid value each."""
    share, rest = divmod(config.prompts_per_step, config.processes)
    if rest:
        return [
            f"prompts_per_step = {config.prompts_per_step!r} cannot be shared by {config.processes} processes; "
            f"the next valid value is prompts_per_step = {config.processes * (share + 1)}."
        ]
    if config.micro_batch and share % config.micro_batch:
        valid = max(size for size in range(1, min(config.micro_batch, share) + 1) if share % size == 0)
        return [
            f"micro_batch = {config.micro_batch!r} does not divide the {share} prompts of a process and step; "
            f"the next smaller valid value is micro_batch = {valid}."
        ]
    return []
