"""The trainer `trl-rloo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from vidground_trl.config import PRESETS, rollout_problems
from vidground_trl.lora import lora_problems
from vidground_trl.options import NANO, PAPER, TrainingOptions
from vidground_trl.rewards_named import reward_problem
from vidground_trl.trainer import WorkerTrainer

_PAPER = ("num_generations", "beta", "temperature", "max_completion_length", "epsilon", "answer_format", "format_reward")
_NANO = ("prompts", "prompts_per_step", "num_generations", "lr", "schedule", "warmup_steps", "beta", "max_completion_length", "save_steps")


class TRLRLOOConfig(TrainingOptions):
    """Options of `trl-rloo`: those of `trl-grpo` as far as they apply. Presets are as there, without the rewards of T-GRPO."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "none": {},
        "nano": {**NANO, **{name: PRESETS["nano"][name] for name in _NANO}},
        "paper": {**PAPER, **{name: PRESETS["paper"][name] for name in _PAPER}},
    }

    prompts_per_step: int = Field(8, ge=1, description="Prompts whose rollouts are generated together, over all processes.")
    micro_batch: int = Field(0, ge=0, description="Rollouts in one forward and backward pass of a process; 0 for all of a step's.")
    num_generations: int = Field(8, ge=2, description="Rollouts of a prompt: each is compared to the mean of the others.")
    num_iterations: int = Field(1, ge=1, description="Optimizer steps on the same rollouts.")
    beta: float = Field(0.04, ge=0, description="Weight of the KL divergence to the start checkpoint, a part of the reward; 0 keeps none.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of the rollouts.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus sampling of the rollouts; 1 for the whole distribution.")
    max_completion_length: int = Field(768, ge=1, description="Most tokens of a rollout.")
    normalize_advantages: bool = Field(False, description="Divide advantages by their standard deviation over the batch.")
    epsilon: float = Field(0.2, gt=0, description="Clipping of the probability ratio from below (and above, without epsilon_high).")
    epsilon_high: float | None = Field(None, gt=0, description="Clipping of the probability ratio from above.")
    mask_truncated_completions: bool = Field(False, description="Leave rollouts without an end out of the loss.")
    rewards: str = Field("strict", description="What is right: strict, video-r1, an entry point's name, or package.module:function.")
    soft_reward: bool = Field(False, description="A part of several right letters earns a part (TW-GRPO).")
    format_reward: float = Field(0.0, ge=0, description="Weight of the reward for <think>…</think><answer>…</answer>; accuracy has 1.")
    sample_rows: int = Field(2, ge=0, description="Prompts whose rollouts go into samples.jsonl at each logging step.")

    @model_validator(mode="after")
    def _tags_are_asked_for(self) -> TRLRLOOConfig:
        if self.answer_format == "plain" and (self.format_reward or self.rewards == "video-r1"):
            named = "format_reward" if self.format_reward else "rewards = 'video-r1'"
            raise ValueError(f"{named} needs answer_format = 'think': the tags are not asked for otherwise")
        return self


class TRLRLOO(WorkerTrainer[TRLRLOOConfig]):
    """RLOO (2402.14740) by TRL on native video tokens, or frames as images, of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, on CPU and GPU.

    The advantage of a rollout is its reward less the mean reward of the other rollouts of its prompt; the loss is on whole rollouts.
    """

    name: ClassVar[str] = "trl-rloo"
    arguments: ClassVar[str] = "RLOOConfig"
    version: ClassVar[str] = "2"
    Config = TRLRLOOConfig

    def problems(self) -> list[str]:
        """Batches and steps that do not divide, adapters that do not fit, and a reward that is not there."""
        unknown = "" if self.config.python else reward_problem(self.config.rewards)
        return [*lora_problems(self.config), *rollout_problems(self.config), *([unknown] if unknown else [])]


__all__ = ["TRLRLOO", "TRLRLOOConfig"]
