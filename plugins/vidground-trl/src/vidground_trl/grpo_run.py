"""GRPO inside the worker: rollouts in groups, rewards by each row's own kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from trl import GRPOConfig, GRPOTrainer

from vidground_core import Question
from vidground_core.media import resolve
from vidground_trl.booking import unbook, unsampled_tokens
from vidground_trl.config import Schedule, schedule
from vidground_trl.instructions import instruct
from vidground_trl.job import WorkerJob
from vidground_trl.recording import Recorder, Rewards, say
from vidground_trl.rows import Selection, clips_of
from vidground_trl.run import Run, Setting

# Options that TRL's GRPOConfig has under the same name, besides those of all trainers.
_SAME_NAME = (
    *("num_generations", "num_iterations", "beta", "temperature", "top_p", "max_completion_length", "loss_type", "scale_rewards"),
    *("epsilon", "epsilon_high", "entropy_coef"),
)


class GRPORun(Run):
    """A run of `trl-grpo`."""

    arguments_type: ClassVar[type[Any]] = GRPOConfig

    def __init__(self, job: WorkerJob, out: Path) -> None:
        super().__init__(job, out)
        self.window = self.config.num_iterations
        self.rewards = Rewards(self.config)

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

    def build(self, setting: Setting) -> GRPOTrainer:
        """TRL's GRPOTrainer; the reference model takes booked input too."""
        functions, weights = self.rewards.functions()
        trainer = GRPOTrainer(
            model=setting.model,
            reward_funcs=functions,
            args=self.arguments(
                setting.plan,
                **{name: getattr(self.config, name) for name in _SAME_NAME},
                reward_weights=weights,
                generation_kwargs={"suppress_tokens": unsampled_tokens(setting.model, setting.processor.tokenizer)},
                shuffle_dataset=False,
            ),
            train_dataset=setting.rows,
            processing_class=setting.processor,
        )
        if trainer.ref_model is not None:
            unbook(trainer.accelerator.unwrap_model(trainer.ref_model), setting.store, share=self.config.share_videos)
        return trainer

    def recorder(self) -> Recorder:
        """Metrics with a reward in them, and sampled rollouts."""
        return Recorder(
            self.out,
            prompts=self.config.prompts_per_step,
            window=self.window,
            leading="reward",
            headline=_headline,
            samples=self.rewards.samples,
        )

    def announce(self, setting: Setting, selection: Selection) -> None:
        """Effective batch, prompts and tokens."""
        plan, rows, config = setting.plan, setting.rows, self.config
        first = rows[: min(len(rows), config.prompts_per_step)]
        chats = [_filled(prompt, clips) for prompt, clips in zip(first["prompt"], first["images"], strict=True)]
        lengths = [len(ids) for ids in setting.processor.apply_chat_template(chats, tokenize=True, add_generation_prompt=True)["input_ids"]]
        mean = sum(lengths) / len(lengths)
        prompt_tokens = mean * plan.prompts * config.num_generations
        most = config.max_completion_length * plan.prompts * config.num_generations
        say(
            f"{plan.prompts} prompts of {selection.usable} questions in {plan.steps} steps; effective batch {plan.rollouts} rollouts "
            f"({config.prompts_per_step} prompts x {config.num_generations}), {plan.micro_batch} a pass"
        )
        say(f"about {prompt_tokens:,.0f} prompt tokens ({mean:.0f} a prompt) and at most {most:,} completion tokens")


def _headline(logs: Mapping[str, Any]) -> str:
    return f"reward {logs['reward']:.3f}, zero-variance groups {logs['frac_reward_zero_std']:.0%}"


def _filled(prompt: Any, clips: Any) -> Any:
    parts = iter(clips)
    return [m | {"content": [{"type": "image", "image": next(parts)} if p["type"] == "image" else p for p in m["content"]]} for m in prompt]
