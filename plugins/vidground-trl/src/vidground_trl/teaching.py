"""What runs on given answers share: rows with clips, arguments that cut and drop nothing, words about a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState  # type: ignore[import-untyped]

from vidground_core import Question
from vidground_core.media import resolve
from vidground_trl.ahead import taught_rows
from vidground_trl.config import Schedule
from vidground_trl.instructions import instruct
from vidground_trl.options import batch_schedule
from vidground_trl.recording import say
from vidground_trl.rows import Selection, clips_of
from vidground_trl.run import Run, Setting


class TeachingRun(Run):
    """A run whose rows hold the answers to learn from."""

    def schedule(self, usable: int) -> Schedule:
        """As `vidground_trl.options.batch_schedule`."""
        return batch_schedule(self.config, usable)

    def share(self, plan: Schedule) -> Sequence[int]:
        """As `vidground_trl.ahead.taught_rows`."""
        state = PartialState()
        return taught_rows(plan, process=state.process_index, processes=state.num_processes)

    def text(self, question: Question) -> str:
        """The words of the user's turn."""
        config = self.config
        return instruct(question, prompt=config.prompt, answer_format=config.answer_format, accuracy=config.accuracy)

    def asked(self, question: Question) -> dict[str, Any]:
        """The prompt of a question; "images" holds clips, which also tells TRL to leave the rows to our collator."""
        clips = [resolve(clip) for clip in clips_of(question, self.config)]
        content = [{"type": "image"} for _ in clips] + [{"type": "text", "text": self.text(question)}]
        return {"prompt": [{"role": "user", "content": content}], "images": clips}

    def as_given(self) -> dict[str, Any]:
        """Arguments under which rows reach our collator whole and in the order of training."""
        return {
            "max_length": None,
            "remove_unused_columns": False,
            "train_sampling_strategy": "sequential",
            "include_num_input_tokens_seen": "non_padding",
            "dataloader_num_workers": 0,
        }

    def first_rows(self, setting: Setting) -> list[dict[str, Any]]:
        """The rows of the first step."""
        columns = setting.rows[: min(len(setting.rows), self.config.prompts_per_step)]
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def say_size(self, setting: Setting, selection: Selection, *, what: str, tokens: torch.Tensor, learnt: torch.Tensor) -> None:
        """Effective batch, prompts and tokens, the latter from the masks `tokens` and `learnt` of the first step."""
        plan, rows = setting.plan, self.config.prompts_per_step
        each, taught = (int(mask.sum()) / rows for mask in (tokens, learnt))
        say(
            f"{plan.prompts} {what} of {selection.usable} questions in {plan.steps} steps; effective batch {rows} {what}, "
            f"{plan.micro_batch} a pass"
        )
        say(f"about {each * plan.prompts:,.0f} tokens ({each:.0f} a {what[:-1]}), {taught * plan.prompts:,.0f} of them with a loss")
