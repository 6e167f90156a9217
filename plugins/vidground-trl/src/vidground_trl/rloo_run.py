"""RLOO inside the worker: rollouts in groups, each compared to the others."""

from __future__ import annotations

from typing import Any, ClassVar

from trl import RLOOConfig, RLOOTrainer

from vidground_trl.booking import unbook
from vidground_trl.config import Schedule, rollout_problems, rollout_schedule
from vidground_trl.lora import adapters
from vidground_trl.rollout_run import RolloutRun
from vidground_trl.run import Setting

# Options that TRL's RLOOConfig has under the same name, besides those of all trainers.
_SAME_NAME = (
    *("num_generations", "num_iterations", "beta", "temperature", "top_p", "max_completion_length", "normalize_advantages"),
    *("epsilon", "epsilon_high", "mask_truncated_completions"),
)


class RLOORun(RolloutRun):
    """A run of `trl-rloo`."""

    arguments_type: ClassVar[type[Any]] = RLOOConfig

    def schedule(self, usable: int) -> Schedule:
        """As `vidground_trl.config.rollout_schedule`. Raises ValueError where the batch does not divide."""
        found = rollout_problems(self.config)
        if found:
            raise ValueError(found[0])
        return rollout_schedule(self.config, usable)

    def build(self, setting: Setting) -> RLOOTrainer:
        """TRL's RLOOTrainer; the reference model takes booked input too."""
        functions, weights = self.rewards.functions()
        trainer = RLOOTrainer(
            model=setting.model,
            reward_funcs=functions,
            args=self.rollout_arguments(setting, _SAME_NAME, reward_weights=weights),
            train_dataset=setting.rows,
            processing_class=setting.processor,
            peft_config=adapters(self.config),
        )
        if trainer.ref_model is not None:
            unbook(trainer.accelerator.unwrap_model(trainer.ref_model), setting.store, share=self.config.share_videos)
        return trainer
