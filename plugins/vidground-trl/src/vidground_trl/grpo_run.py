"""GRPO inside the worker: rollouts in groups, rewards by each row's own kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoConfig
from trl import GRPOConfig

from vidground_core import InputError, Question
from vidground_core.media import resolve
from vidground_core.models import resolve_model
from vidground_trl.booking import unbook, unsampled_tokens
from vidground_trl.config import Schedule, schedule
from vidground_trl.instructions import instruct
from vidground_trl.job import WorkerJob
from vidground_trl.methods.conflicts import without_effect
from vidground_trl.methods.dynamic_sampling import Stream
from vidground_trl.methods.progress import Consumption
from vidground_trl.methods.rewards import added_rewards
from vidground_trl.methods.trainer import MethodTrainer
from vidground_trl.recording import Recorder, Rewards, say
from vidground_trl.rows import Selection, clips_of
from vidground_trl.run import Run, Setting

# Options that TRL's GRPOConfig has under the same name, besides those of all trainers.
_SAME_NAME = (
    *("num_generations", "num_iterations", "beta", "temperature", "top_p", "max_completion_length", "loss_type", "scale_rewards"),
    *("epsilon", "epsilon_high", "entropy_coef", "importance_sampling_level", "mask_truncated_completions", "use_bias_correction_kl"),
)


class GRPORun(Run):
    """A run of `trl-grpo`."""

    arguments_type: ClassVar[type[Any]] = GRPOConfig
    collates_ahead: ClassVar[bool] = False

    def __init__(self, job: WorkerJob, out: Path) -> None:
        super().__init__(job, out)
        self.window = self.config.num_iterations
        self.rewards = Rewards(self.config)
        self.stream: Stream | None = None
        self._sampled: Mapping[str, Any] = {}

    def schedule(self, usable: int) -> Schedule:
        """As `vidground_trl.config.schedule`."""
        return schedule(self.config, usable)

    def row(self, question: Question) -> dict[str, Any]:
        """The prompt in TRL's conversational form, its clips in place of images, and what rewards judge by."""
        config = self.config
        clips = [resolve(clip) for clip in clips_of(question, config)]
        text = instruct(question, prompt=config.prompt, answer_format=config.answer_format, accuracy=config.accuracy)
        content = [{"type": "image"} for _ in clips] + [{"type": "text", "text": text}]
        columns = {"id": question.id, "text": text, "kind": question.kind, "gold": question.answer, "options": question.options}
        return {"prompt": [{"role": "user", "content": content}], "images": clips} | columns

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
            args=self.arguments(
                setting.plan,
                **{name: getattr(self.config, name) for name in _SAME_NAME},
                reward_weights=weights + added_weights,
                generation_kwargs={"suppress_tokens": unsampled_tokens(setting.model, setting.processor.tokenizer)},
                shuffle_dataset=False,
            ),
            train_dataset=setting.rows,
            processing_class=setting.processor,
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

    def recorder(self) -> Recorder:
        """Metrics with a reward in them, and sampled rollouts."""
        return Recorder(
            self.out,
            consumed=self.consumed,
            leading="entropy",
            headline=_headline,
            samples=self._samples,
        )

    def _samples(self) -> list[dict[str, Any]]:
        """Sampled rollouts, once for each generation."""
        seen, self._sampled = self._sampled, self.rewards.last
        return [] if seen is self._sampled else self.rewards.samples()

    def announce(self, setting: Setting, selection: Selection) -> None:
        """Effective batch, prompts and tokens."""
        plan, rows, config = setting.plan, setting.rows, self.config
        first = rows[: min(len(rows), config.prompts_per_step)]
        chats = [_filled(prompt, clips) for prompt, clips in zip(first["prompt"], first["images"], strict=True)]
        lengths = [len(ids) for ids in setting.processor.apply_chat_template(chats, tokenize=True, add_generation_prompt=True)["input_ids"]]
        mean = sum(lengths) / len(lengths)
        shuffled = (config.temporal_rollouts or config.num_generations // 2) if config.temporal_reward else 0
        prompt_tokens = mean * plan.prompts * (config.num_generations + shuffled)
        most = config.max_completion_length * plan.prompts * (config.num_generations + shuffled)
        steps = f"at most {plan.steps}" if config.dynamic_sampling else plan.steps
        for found in without_effect(config):
            say(f"note: {found}")
        say(
            f"{plan.prompts} prompts of {selection.usable} questions in {steps} steps; effective batch {plan.rollouts} rollouts "
            f"({config.prompts_per_step} prompts x {config.num_generations}), {plan.micro_batch} a pass"
        )
        say(f"about {prompt_tokens:,.0f} prompt tokens ({mean:.0f} a prompt) and at most {most:,} completion tokens")


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in ("id", "text", "kind", "gold", "options")}


def _headline(logs: Mapping[str, Any]) -> str:
    if "reward" not in logs:
        return f"the same rollouts again, {logs.get('clip_ratio/region_mean', 0.0):.0%} clipped"
    return f"reward {logs['reward']:.3f}, zero-variance groups {logs['frac_reward_zero_std']:.0%}"


def _filled(prompt: Any, clips: Any) -> Any:
    parts = iter(clips)
    return [m | {"content": [{"type": "image", "image": next(parts)} if p["type"] == "image" else p for p in m["content"]]} for m in prompt]
