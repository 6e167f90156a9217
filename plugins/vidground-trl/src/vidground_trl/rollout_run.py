"""What runs with rollouts share: prompts for TRL's online trainers, rewards by each row's own kind, sampled rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from accelerate import PartialState  # type: ignore[import-untyped]

from vidground_core import Question
from vidground_core.evaluation.tags import thinking_opened
from vidground_core.media import resolve
from vidground_trl.ahead import asked_rows
from vidground_trl.booking import unsampled_tokens
from vidground_trl.collate import filled
from vidground_trl.config import Schedule
from vidground_trl.instructions import instruct
from vidground_trl.job import WorkerJob
from vidground_trl.recording import Recorder, Rewards, say
from vidground_trl.rows import Selection, clips_of
from vidground_trl.run import Run, Setting


class RolloutRun(Run):
    """A run whose answers are sampled from the model that is trained."""

    collates_ahead: ClassVar[bool] = False

    def __init__(self, job: WorkerJob, out: Path) -> None:
        super().__init__(job, out)
        self.window = self.config.num_iterations
        self.rewards = Rewards(self.config)
        self._sampled: Mapping[str, Any] = {}

    def share(self, plan: Schedule) -> Sequence[int]:
        """As `vidground_trl.ahead.asked_rows`."""
        state = PartialState()
        return asked_rows(plan, self.config.num_generations, process=state.process_index, processes=state.num_processes)

    def row(self, question: Question) -> dict[str, Any]:
        """The prompt in TRL's conversational form, its clips in place of images, and what rewards judge by."""
        config = self.config
        clips = [resolve(clip) for clip in clips_of(question, config)]
        text = instruct(question, prompt=config.prompt, answer_format=config.answer_format, accuracy=config.accuracy)
        content = [{"type": "image"} for _ in clips] + [{"type": "text", "text": text}]
        columns = {"id": question.id, "text": text, "kind": question.kind, "gold": question.answer, "options": question.options}
        return {"prompt": [{"role": "user", "content": content}], "images": clips} | columns

    def rollout_arguments(self, setting: Setting, names: Sequence[str], **more: Any) -> Any:
        """TRL's config, with our options of those names in it, and rollouts without vision tokens in the order of training."""
        if self.config.answer_format == "think":
            self.rewards.opened = thinking_opened(_generation_prompt(setting.processor))
        return self.arguments(
            setting.plan,
            **{name: getattr(self.config, name) for name in names},
            generation_kwargs={"suppress_tokens": unsampled_tokens(setting.model, setting.processor.tokenizer)},
            shuffle_dataset=False,
            **more,
        )

    def recorder(self) -> Recorder:
        """Metrics of every step, and sampled rollouts."""
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

    def rollouts(self) -> int:
        """Rollouts of a prompt."""
        count: int = self.config.num_generations
        return count

    def steps(self, plan: Schedule) -> str:
        """The number of steps, in words."""
        return str(plan.steps)

    def announce(self, setting: Setting, selection: Selection) -> None:
        """Effective batch, prompts and tokens."""
        plan, rows, config = setting.plan, setting.rows, self.config
        first = rows[: min(len(rows), config.prompts_per_step)]
        chats = [filled(prompt, clips) for prompt, clips in zip(first["prompt"], first["images"], strict=True)]
        lengths = [len(ids) for ids in setting.processor.apply_chat_template(chats, tokenize=True, add_generation_prompt=True)["input_ids"]]
        mean = sum(lengths) / len(lengths)
        prompt_tokens = mean * plan.prompts * self.rollouts()
        most = config.max_completion_length * plan.prompts * self.rollouts()
        say(
            f"{plan.prompts} prompts of {selection.usable} questions in {self.steps(plan)} steps; effective batch {plan.rollouts} rollouts "
            f"({config.prompts_per_step} prompts x {config.num_generations}), {plan.micro_batch} a pass"
        )
        say(f"about {prompt_tokens:,.0f} prompt tokens ({mean:.0f} a prompt) and at most {most:,} completion tokens")


def _headline(logs: Mapping[str, Any]) -> str:
    if "reward" not in logs:
        return f"the same rollouts again, {logs.get('clip_ratio/region_mean', 0.0):.0%} clipped"
    reward = "none, no rollout was judged" if logs["reward"] is None else f"{logs['reward']:.3f}"
    return f"reward {reward}, zero-variance groups {logs['frac_reward_zero_std']:.0%}"


def _generation_prompt(processor: Any) -> str:
    """A prompt as the model is given it, up to where the completion begins."""
    return str(processor.apply_chat_template([{"role": "user", "content": [{"type": "text", "text": "?"}]}], add_generation_prompt=True))
