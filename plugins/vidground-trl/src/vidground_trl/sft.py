"""The trainer `trl-sft`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from vidground_trl.options import NANO, PAPER, TrainingOptions, training_problems
from vidground_trl.trainer import WorkerTrainer


class TRLSFTConfig(TrainingOptions):
    """Options of `trl-sft`.

    Preset `nano`: what the shipped nano checkpoint learns with on one CPU thread. Preset `paper`: data and optimizer of Table 7 of the
    VidGround paper, which gives no other values for its SFT arm.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "none": {},
        "nano": {
            **NANO,
            "prompts": 3200,
            "prompts_per_step": 32,
            "lr": 1e-3,
            "schedule": "linear",
            "warmup_steps": 5,
            "save_steps": 25,
        },
        "paper": {**PAPER, "answer_format": "plain"},
    }

    lr: float = Field(1e-5, gt=0, description="Peak learning rate of AdamW.")
    accuracy: Literal["option-text", "letter"] = Field(
        "letter", description="What is taught as an answer: the option's text or its letter."
    )
    rationale: str = Field("", description="Tag of a question that is taught between <think> and </think>; empty for none.")

    @model_validator(mode="after")
    def _rationale_has_its_place(self) -> TRLSFTConfig:
        if self.rationale and self.answer_format == "plain":
            raise ValueError("rationale needs answer_format = 'think': there is no place for it otherwise")
        return self


class TRLSFT(WorkerTrainer[TRLSFTConfig]):
    """Supervised fine-tuning by TRL on native video tokens, or frames as images, of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, on CPU and GPU.

    The loss is on the gold answer and the end of the turn alone, averaged over their tokens; nothing is cut at a length.
    """

    name: ClassVar[str] = "trl-sft"
    arguments: ClassVar[str] = "SFTConfig"
    version: ClassVar[str] = "1"
    Config = TRLSFTConfig

    def problems(self) -> list[str]:
        """As `vidground_trl.options.training_problems`."""
        return training_problems(self.config)


__all__ = ["TRLSFT", "TRLSFTConfig"]
