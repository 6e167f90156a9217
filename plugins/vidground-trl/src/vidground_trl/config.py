"""Options of `trl-grpo`, its presets, and the numbers that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from vidground_trl.lora import LoraOptions, lora_problems
from vidground_trl.media_options import MediaOptions
from vidground_trl.methods.conflicts import conflicts

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "nano": {
        "prompts": 2560,
        "prompts_per_step": 16,
        "num_generations": 8,
        "lr": 5e-4,
        "schedule": "constant_with_warmup",
        "warmup_steps": 10,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "beta": 0.0,
        "temperature": 1.0,
        "max_completion_length": 6,
        "frames": 8,
        "prompt": "bare",
        "answer_format": "plain",
        "accuracy": "option-text",
        "format_reward": 0.0,
        "save_steps": 40,
        "gradient_checkpointing": False,
        "device": "cpu",
    },
    "paper": {
        "prompts": 5600,
        "prompts_per_step": 8,
        "num_generations": 8,
        "micro_batch": 1,
        "lr": 1e-6,
        "schedule": "cosine",
        "weight_decay": 0.01,
        "max_grad_norm": 5.0,
        "beta": 0.04,
        "use_bias_correction_kl": False,
        "temperature": 1.0,
        "max_completion_length": 768,
        "loss_type": "dapo",
        "epsilon": 0.2,
        "frames": 16,
        "min_pixels": 3136,
        "max_pixels": 501760,
        "max_prompt_tokens": 16384,
        "answer_format": "think",
        "accuracy": "letter",
        "format_reward": 1.0,
        "temporal_reward": 0.3,
        "temporal_ratio": 0.8,
        "length_reward": 0.2,
        "length_min": 320,
        "length_max": 512,
        "gradient_checkpointing": True,
        "bf16": "on",
        "weights": "float32",
        "attention": "flash_attention_2",
    },
    "video-r1": {
        "prompts": 8000,
        "prompts_per_step": 8,
        "num_generations": 8,
        "micro_batch": 1,
        "lr": 1e-6,
        "schedule": "cosine",
        "weight_decay": 0.01,
        "max_grad_norm": 5.0,
        "beta": 0.04,
        "use_bias_correction_kl": False,
        "temperature": 1.0,
        "top_p": 0.95,
        "max_completion_length": 768,
        "loss_type": "grpo",
        "frames": 16,
        "max_pixels": 100352,
        "max_prompt_tokens": 16384,
        "answer_format": "think",
        "accuracy": "letter",
        "rewards": "video-r1",
        "format_reward": 1.0,
        "temporal_reward": 0.3,
        "temporal_ratio": 0.8,
        "length_reward": 0.2,
        "length_min": 320,
        "length_max": 512,
        "save_steps": 100,
        "gradient_checkpointing": True,
        "bf16": "on",
        "weights": "float32",
        "attention": "flash_attention_2",
    },
}


class TRLGRPOConfig(MediaOptions, LoraOptions):
    """Options of `trl-grpo`. A preset fills in what is not set here; the config that comes out holds every value in use.

    Preset `nano`: what the shipped nano checkpoint learns with on one CPU thread. Preset `paper`: Table 7 of the VidGround paper. Preset
    `video-r1`: T-GRPO as its released script runs it (arXiv 2503.21776), on 8 GPUs for 1,000 steps.
    """

    preset: Literal["none", "nano", "paper", "video-r1"] = Field("none", description="Values for all options that are not set.")
    prompts: int = Field(0, ge=0, description="Prompts to consume, rounded up to whole steps; 0 for one pass over the data.")
    prompts_per_step: int = Field(8, ge=1, description="Prompts whose rollouts are generated together, over all processes.")
    num_generations: int = Field(8, ge=2, description="Rollouts of a prompt: the group that rewards are normalised in.")
    num_iterations: int = Field(1, ge=1, description="Optimizer steps on the same rollouts.")
    micro_batch: int = Field(0, ge=0, description="Rollouts in one forward and backward pass of a process; 0 for all of a step's.")
    processes: int = Field(1, ge=1, description="Processes to train with, one a GPU, started by `accelerate launch`.")
    lr: float = Field(1e-6, gt=0, description="Peak learning rate of AdamW.")
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine"] = Field("constant", description="Learning-rate schedule.")
    warmup_steps: int = Field(0, ge=0, description="Optimizer steps of linear warm-up.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are clipped to this norm; 0 for no clipping.")
    beta: float = Field(0.04, description="Weight of the KL divergence to the reference; 0 keeps none, below 0 only with `reference`.")
    use_bias_correction_kl: bool = Field(True, description="Weigh that divergence by the ratio (TRL's default), not plain k3 (Video-R1).")
    reference: str = Field("", description="Checkpoint that the KL divergence is taken to (CDPO: a bias model); none: the start's.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of the rollouts.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus sampling of the rollouts; 1 for the whole distribution.")
    max_completion_length: int = Field(768, ge=1, description="Most tokens of a rollout.")
    loss_type: Literal["grpo", "dapo", "bnpo", "dr_grpo"] = Field("dapo", description="How token losses are averaged (TRL's names).")
    scale_rewards: Literal["group", "batch", "none"] = Field("group", description="Over what the advantage's standard deviation is taken.")
    importance_sampling_level: Literal["token", "sequence"] = Field("token", description="One ratio a token, or one a rollout (GSPO).")
    epsilon: float = Field(0.2, gt=0, description="Clipping of the probability ratio from below (and above, without epsilon_high).")
    epsilon_high: float | None = Field(None, gt=0, description="Clipping of the probability ratio from above (clip-higher).")
    entropy_coef: float = Field(0.0, ge=0, description="Weight of an entropy bonus.")
    dynamic_sampling: int = Field(0, ge=0, description="Rounds a step that replace groups of equal accuracies (DAPO); 0: none.")
    mask_truncated_completions: bool = Field(False, description="Leave rollouts without an end out of the loss (overlong filtering).")
    overlong_penalty: float = Field(0.0, ge=0, description="Weight of the penalty on rollouts close to the length limit (DAPO: 1).")
    overlong_buffer: int = Field(0, ge=0, description="Tokens before max_completion_length over which that penalty grows to its weight.")
    temporal_reward: float = Field(0.0, ge=0, description="Reward of right rollouts that shuffled frames do not match (T-GRPO: 0.3).")
    temporal_ratio: float = Field(0.8, gt=0, description="Accuracy in order over accuracy shuffled from which on that reward is given.")
    temporal_rollouts: int = Field(0, ge=0, description="Rollouts of a prompt on shuffled frames; 0 for half of num_generations.")
    length_reward: float = Field(0.0, ge=0, description="Reward of right rollouts of length_min to length_max tokens (Video-R1: 0.2).")
    length_min: int = Field(320, ge=1, description="Fewest tokens of a rollout that earns length_reward.")
    length_max: int = Field(512, ge=1, description="Most tokens of a rollout that earns length_reward.")
    token_weight: float = Field(1.0, ge=1, description="Largest weight of a token where rollouts differ (TW-GRPO: 1.7); 1 weighs none.")
    soft_reward: bool = Field(False, description="A part of several right letters earns a part (TW-GRPO).")
    frames: int = Field(16, ge=1, description="Frames sampled uniformly from each video.")
    min_pixels: int = Field(0, ge=0, description="Fewest pixels of a frame after resizing; 0 for the processor's own.")
    max_pixels: int = Field(0, ge=0, description="Most pixels of a frame after resizing; 0 for the processor's own.")
    prompt: str = Field("bare", description="Name of the prompt that questions are asked with.")
    answer_format: Literal["plain", "think"] = Field("plain", description="think asks for <think> and <answer> tags; plain for the answer.")
    accuracy: Literal["option-text", "letter"] = Field("letter", description="What counts as right: the option's text or its letter.")
    rewards: str = Field("strict", description="What is right: strict, video-r1, an entry point's name, or package.module:function.")
    format_reward: float = Field(0.0, ge=0, description="Weight of the reward for <think>…</think><answer>…</answer>; accuracy has 1.")
    save_steps: int = Field(50, ge=1, description="Optimizer steps between two checkpoints that a broken run resumes from.")
    keep_checkpoints: int = Field(2, ge=2, description="Checkpoints kept; two, so that one is whole while the next is written.")
    logging_steps: int = Field(1, ge=1, description="Optimizer steps between two lines of metrics.jsonl.")
    sample_rows: int = Field(2, ge=0, description="Prompts whose rollouts go into samples.jsonl at each logging step.")
    gradient_checkpointing: bool = Field(True, description="Recompute activations in the backward pass to save memory.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train; auto takes a GPU where there is one.")
    bf16: Literal["auto", "on", "off"] = Field("auto", description="Compute in bfloat16; auto: on a GPU.")
    weights: Literal["float32", "bfloat16"] = Field("float32", description="What the weights are held in while training.")
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field("auto", description="Attention implementation.")
    share_videos: bool = Field(True, description="Run the vision tower once a distinct video, and read a prompt once for its rollouts.")
    cache_mb: int = Field(512, ge=1, description="Processed videos kept in memory, in MiB; those of the current batch always are.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the model.")
    extra: dict[str, Any] = Field(default_factory=dict, description="Further arguments of TRL's GRPOConfig by name; refused if unknown.")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        return {**PRESETS.get(str(values.get("preset", "none")), {}), **values} if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _agree(self) -> TRLGRPOConfig:
        if self.format_reward and self.answer_format == "plain":
            raise ValueError("format_reward needs answer_format = 'think': the tags are not asked for otherwise")
        if self.rewards == "video-r1" and self.answer_format == "plain":
            raise ValueError("rewards = 'video-r1' reads <answer> tags; set answer_format = 'think', or rewards = 'strict'")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels = {self.min_pixels} is more than max_pixels = {self.max_pixels}")
        return self


def resolve(config: TRLGRPOConfig) -> dict[str, Any]:
    """Every option with the value in use, presets applied; plain data, without the interpreter that runs it."""
    return config.model_dump(mode="json", exclude={"python"})


@dataclass(frozen=True)
class Schedule:
    """How often what is done: `steps` optimizer steps on `prompts` prompts, each prompt with `rollouts` rollouts in a step's batch.

    `micro_batch` rollouts of a process pass the model at once, `accumulation` such passes make one optimizer step.
    """

    steps: int
    prompts: int
    rollouts: int
    micro_batch: int
    accumulation: int


def schedule(config: TRLGRPOConfig, rows: int) -> Schedule:
    """The schedule for `rows` usable questions. Raises ValueError where the batch does not divide; `problems` says how to mend it."""
    found = problems(config)
    if found:
        raise ValueError(found[0])
    return rollout_schedule(config, rows)


def rollout_schedule(config: Any, rows: int) -> Schedule:
    """The schedule of any trainer with rollouts, whose `rollout_problems` are none."""
    batches = -(-(config.prompts or rows) // config.prompts_per_step)
    rollouts = config.prompts_per_step * config.num_generations
    micro_batch = config.micro_batch or rollouts // config.processes
    return Schedule(
        steps=batches * config.num_iterations,
        prompts=batches * config.prompts_per_step,
        rollouts=rollouts,
        micro_batch=micro_batch,
        accumulation=rollouts // config.processes // micro_batch,
    )


def problems(config: TRLGRPOConfig) -> list[str]:
    """Settings that are valid one by one but not together, one sentence with the next valid value each."""
    return [*conflicts(config), *lora_problems(config), *rollout_problems(config)]


def rollout_problems(config: Any) -> list[str]:
    """Settings of steps and batches that do not go together, for any trainer with rollouts."""
    found = []
    if config.save_steps % config.num_iterations:
        valid = -(-config.save_steps // config.num_iterations) * config.num_iterations
        found.append(
            f"save_steps = {config.save_steps!r} is between two generations (one every num_iterations = {config.num_iterations} steps), "
            f"where rollouts in use are not saved and a resumed run would differ; the next valid value is save_steps = {valid}."
        )
    rollouts = config.prompts_per_step * config.num_generations
    if rollouts % config.processes:
        found.append(
            f"prompts_per_step = {config.prompts_per_step!r} times num_generations = {config.num_generations!r} gives {rollouts} rollouts, "
            f"which {config.processes} processes cannot share; set prompts_per_step to a multiple of {config.processes}."
        )
    elif config.micro_batch and (rollouts // config.processes) % config.micro_batch:
        share = rollouts // config.processes
        valid = max(size for size in range(1, min(config.micro_batch, share) + 1) if share % size == 0)
        found.append(
            f"micro_batch = {config.micro_batch!r} does not divide the {share} rollouts of a process and step; "
            f"the next smaller valid value is micro_batch = {valid}."
        )
    return found
