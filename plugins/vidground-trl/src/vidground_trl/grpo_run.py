"""GRPO inside the worker: rollouts in groups, rewards by each row's own kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoConfig
from trl import GRPOConfig

from vidground_core import Clip, InputError
from vidground_core.models import resolve_model
from vidground_trl.booking import unbook
from vidground_trl.config import Schedule, schedule
from vidground_trl.job import WorkerJob
from vidground_trl.lora import adapters
from vidground_trl.methods.conflicts import without_effect
from vidground_trl.methods.dynamic_sampling import Stream
from vidground_trl.methods.progress import Consumption
from vidground_trl.methods.rewards import added_rewards
from vidground_trl.methods.temporal import shuffled_clips
from vidground_trl.methods.trainer import MethodTrainer
from vidground_trl.recording import say
from vidground_trl.rollout_run import RolloutRun
from vidground_trl.rows import Selection
from vidground_trl.run import Setting

# Options that TRL's GRPOConfig has under the same name, besides those of all trainers.
_SAME_NAME = (
    *("num_generations", "num_iterations", "beta", "temperature", "top_p", "max_completion_length", "loss_type", "scale_rewards"),
    *("epsilon", "epsilon_high", "entropy_coef", "importance_sampling_level", "mask_truncated_completions", "use_bias_correction_kl"),
)


class GRPORun(RolloutRun):
    """A run of `trl-grpo`."""

    arguments_type: ClassVar[type[Any]] = GRPOConfig

    def __init__(self, job: WorkerJob, out: Path) -> None:
        super().__init__(job, out)
        self.stream: Stream | None = None
        self.views = 2 if self.config.temporal_reward else 1

    def first_row(self, step: int, turn: int) -> int:
        """As the base has it, or, under dynamic sampling, after all rows that are taken."""
        if self.stream is None:
            return super().first_row(step, turn)
        return self.stream.taken + turn * self.stream.base

    def shown(self, clips: Sequence[Clip], step: int) -> Sequence[Clip]:
        """The clips, then with their frames shuffled where T-GRPO compares with that."""
        if not self.config.temporal_reward:
            return clips
        return [*clips, *shuffled_clips(clips, seed=self.job.seed, step=step)]

    def schedule(self, usable: int) -> Schedule:
        """As `vidground_trl.config.schedule`."""
        return schedule(self.config, usable)

    def consumed(self, steps: int) -> int:
        """Prompts consumed after that many steps, those that dynamic sampling replaced among them."""
        return super().consumed(steps) if self.stream is None else self.stream.taken

    def finished(self, steps: int, plan: Schedule) -> bool:
        """Whether all steps are made, or, under dynamic sampling, all prompts consumed."""
        return super().finished(steps, plan) or (self.stream is not None and self.stream.exhausted)

    def build(self, setting: Setting) -> MethodTrainer:
        """TRL's GRPOTrainer with the methods; the reference model takes booked input too."""
        functions, weights = self.rewards.functions()
        judge = functions[0]
        added, added_weights = added_rewards(self.config, lambda: self.rewards.last["accuracy"])
        stream = Stream(setting.plan.prompts, self.config.prompts_per_step)
        if self.config.reference:
            setting.model.config._name_or_path = self._reference()
        trainer = MethodTrainer(
            config=self.config,
            seed=self.job.seed,
            judge=lambda completions, rows: judge(completions=completions, **_columns(rows)),
            stream=stream,
            model=setting.model,
            reward_funcs=functions + added,
            args=self.rollout_arguments(setting, _SAME_NAME, reward_weights=weights + added_weights),
            train_dataset=setting.rows,
            processing_class=setting.processor,
            peft_config=adapters(self.config),
        )
        if self.config.dynamic_sampling:
            self.stream = stream
            trainer.add_callback(Consumption(stream, self.window))
        if trainer.ref_model is not None:
            unbook(trainer.accelerator.unwrap_model(trainer.ref_model), setting.store, share=self.config.share_videos)
        return trainer

    def _reference(self) -> str:
        """The folder or hub name of the reference checkpoint, once it is known to be of the model's kind."""
        name = resolve_model(self.config.reference)
        try:
            other = AutoConfig.from_pretrained(name, trust_remote_code=self.config.trust_remote_code)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load reference = {self.config.reference!r}: {' '.join(str(error).split())[:300]}") from error
        own = AutoConfig.from_pretrained(self.job.model, trust_remote_code=self.config.trust_remote_code)
        for what, mine, theirs in (
            ("model type", own.model_type, other.model_type),
            ("vocabulary", own.get_text_config().vocab_size, other.get_text_config().vocab_size),
        ):
            if mine != theirs:
                raise InputError(
                    f"reference = {self.config.reference!r} has the {what} {theirs!r}, the model {self.job.model!r} has {mine!r}; "
                    "name a checkpoint trained from the same model"
                )
        return name

    def rollouts(self) -> int:
        """Rollouts of a prompt, those on shuffled frames among them."""
        config = self.config
        return super().rollouts() + ((config.temporal_rollouts or config.num_generations // 2) if config.temporal_reward else 0)

    def steps(self, plan: Schedule) -> str:
        """The number of steps, in words."""
        return f"at most {plan.steps}" if self.config.dynamic_sampling else super().steps(plan)

    def announce(self, setting: Setting, selection: Selection) -> None:
        """As the base does, after options without effect."""
        for found in without_effect(self.config):
            say(f"note: {found}")
        super().announce(setting, selection)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in ("id", "text", "kind", "gold", "options")}
