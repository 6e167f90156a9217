"""Supervised fine-tuning inside the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from trl import SFTConfig, SFTTrainer

from vidground_core import Question
from vidground_core.media import resolve
from vidground_trl.collate import AnswerCollator
from vidground_trl.config import Schedule
from vidground_trl.instructions import instruct
from vidground_trl.lora import adapters
from vidground_trl.options import batch_schedule
from vidground_trl.recording import Recorder, say
from vidground_trl.rows import Selection, clips_of
from vidground_trl.run import Run, Setting
from vidground_trl.targets import target


class SFTRun(Run):
    """A run of `trl-sft`."""

    arguments_type: ClassVar[type[Any]] = SFTConfig

    def schedule(self, usable: int) -> Schedule:
        """As `vidground_trl.options.batch_schedule`."""
        return batch_schedule(self.config, usable)

    def row(self, question: Question) -> dict[str, Any]:
        """Prompt and answer; "images" holds clips, which also tells TRL to leave the rows to our collator."""
        config = self.config
        clips = [resolve(clip) for clip in clips_of(question, config)]
        form = {"answer_format": config.answer_format, "accuracy": config.accuracy}
        content = [{"type": "image"} for _ in clips] + [{"type": "text", "text": instruct(question, prompt=config.prompt, **form)}]
        answer = target(question, rationale=config.rationale, **form)
        return {"prompt": [{"role": "user", "content": content}], "images": clips, "completion": answer}

    def build(self, setting: Setting) -> SFTTrainer:
        """TRL's SFTTrainer with our collator; nothing is cut, dropped or packed."""
        return SFTTrainer(
            model=setting.model,
            args=self.arguments(
                setting.plan,
                max_length=None,
                remove_unused_columns=False,
                train_sampling_strategy="sequential",
                include_num_input_tokens_seen="non_padding",
                dataloader_num_workers=0,
            ),
            data_collator=AnswerCollator(setting.processor),
            train_dataset=setting.rows,
            processing_class=setting.processor,
            peft_config=adapters(self.config),
        )

    def recorder(self) -> Recorder:
        """Metrics with a loss in them."""
        return Recorder(self.out, prompts=self.config.prompts_per_step, leading="loss", headline=_headline)

    def announce(self, setting: Setting, selection: Selection) -> None:
        """Effective batch, prompts and tokens."""
        plan, rows, config = setting.plan, setting.rows, self.config
        first = rows[: min(len(rows), config.prompts_per_step)]
        batch = AnswerCollator(setting.processor)([{k: v[i] for k, v in first.items()} for i in range(len(first["prompt"]))])
        tokens, answers = (int(count) / len(first["prompt"]) for count in (batch["attention_mask"].sum(), (batch["labels"] >= 0).sum()))
        say(
            f"{plan.prompts} prompts of {selection.usable} questions in {plan.steps} steps; effective batch {config.prompts_per_step} "
            f"prompts, {plan.micro_batch} a pass"
        )
        say(f"about {tokens * plan.prompts:,.0f} tokens ({tokens:.0f} a prompt), {answers * plan.prompts:,.0f} of them with a loss")


def _headline(logs: Mapping[str, Any]) -> str:
    return f"loss {float(logs['loss']):.4f}, tokens right {logs['mean_token_accuracy']:.0%}"
