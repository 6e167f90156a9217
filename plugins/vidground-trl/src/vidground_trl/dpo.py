"""The trainer `trl-dpo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from vidground_trl.options import NANO, PAPER, TrainingOptions, training_problems
from vidground_trl.trainer import WorkerTrainer


class TRLDPOConfig(TrainingOptions):
    """Options of `trl-dpo`.

    Preset `nano`: what the shipped nano checkpoint learns with on one CPU thread. Preset `paper`: data and optimizer of Table 7 of the
    VidGround paper, which has no DPO arm.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "none": {},
        "nano": {
            **NANO,
            "prompts": 3200,
            "prompts_per_step": 32,
            "lr": 5e-4,
            "schedule": "linear",
            "warmup_steps": 5,
            "save_steps": 25,
            "rejected_tokens": 6,
        },
        "paper": {**PAPER, "answer_format": "plain"},
    }

    prompts: int = Field(0, ge=0, description="Pairs to train on, rounded up to whole steps; 0 for one pass over all that can be made.")
    prompts_per_step: int = Field(8, ge=1, description="Pairs of an optimizer step, over all processes.")
    micro_batch: int = Field(0, ge=0, description="Pairs in one forward and backward pass of a process; 0 for all of a step's.")
    lr: float = Field(5e-7, gt=0, description="Peak learning rate of AdamW.")
    beta: float = Field(0.1, gt=0, description="Strength of the tie to the start checkpoint: the temperature of DPO's loss.")
    rejected_tokens: int = Field(256, ge=1, description="Most tokens of an answer that the model gives without the video.")


class TRLDPO(WorkerTrainer[TRLDPOConfig]):
    """DPO (2305.18290) by TRL on native video tokens, or frames as images: the gold answer over what the model answers without the video.

    Before training the start checkpoint answers each question greedily from its text alone. Where that is right there is no pair: the
    question is set aside and counted. Both answers are trained with the video in the prompt.
    """

    name: ClassVar[str] = "trl-dpo"
    arguments: ClassVar[str] = "DPOConfig"
    version: ClassVar[str] = "1"
    Config = TRLDPOConfig

    def problems(self) -> list[str]:
        """As `vidground_trl.options.training_problems`."""
        return training_problems(self.config)


__all__ = ["TRLDPO", "TRLDPOConfig"]
