"""The trainer `trl-grpo`."""

from __future__ import annotations

from typing import ClassVar

from vidground_trl.config import TRLGRPOConfig, problems, resolve
from vidground_trl.rewards_named import reward_problem
from vidground_trl.trainer import WorkerTrainer


class TRLGRPO(WorkerTrainer[TRLGRPOConfig]):
    """GRPO by TRL on native video tokens, or frames as images, of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, on CPU and GPU.

    Objective: DeepSeekMath (2402.03300), with the loss normalisation named by `loss_type`; on-policy rollouts by transformers.
    """

    name: ClassVar[str] = "trl-grpo"
    arguments: ClassVar[str] = "GRPOConfig"
    version: ClassVar[str] = "2"
    Config = TRLGRPOConfig

    def problems(self) -> list[str]:
        """As `vidground_trl.config.problems`; a third party's reward is looked for where it would run in this interpreter."""
        unknown = "" if self.config.python else reward_problem(self.config.rewards)
        return [*problems(self.config), *([unknown] if unknown else [])]


__all__ = ["TRLGRPO", "TRLGRPOConfig", "resolve"]
