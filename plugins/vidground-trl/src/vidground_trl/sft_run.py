"""Supervised fine-tuning inside the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from trl import SFTConfig, SFTTrainer

from vidground_core import Question
from vidground_trl.collate import AnswerCollator
from vidground_trl.lora import adapters
from vidground_trl.recording import Recorder
from vidground_trl.rows import Selection
from vidground_trl.run import Setting
from vidground_trl.targets import target
from vidground_trl.teaching import TeachingRun


class SFTRun(TeachingRun):
    """A run of `trl-sft`."""

    arguments_type: ClassVar[type[Any]] = SFTConfig

    def row(self, question: Question) -> dict[str, Any]:
        """Prompt and answer."""
        config = self.config
        answer = target(question, accuracy=config.accuracy, answer_format=config.answer_format, rationale=config.rationale)
        return {**self.asked(question), "completion": answer}

    def build(self, setting: Setting) -> SFTTrainer:
        """TRL's SFTTrainer with our collator."""
        return SFTTrainer(
            model=setting.model,
            args=self.arguments(setting.plan, **self.as_given()),
            data_collator=AnswerCollator(setting.processor),
            train_dataset=setting.rows,
            processing_class=setting.processor,
            peft_config=adapters(self.config),
        )

    def recorder(self) -> Recorder:
        """Metrics with a loss in them."""
        return Recorder(self.out, consumed=self.consumed, leading="loss", headline=_headline)

    def announce(self, setting: Setting, selection: Selection) -> None:
        """Effective batch, prompts and tokens."""
        batch = AnswerCollator(setting.processor)(self.first_rows(setting))
        self.say_size(setting, selection, what="prompts", tokens=batch["attention_mask"], learnt=batch["labels"] >= 0)


def _headline(logs: Mapping[str, Any]) -> str:
    return f"loss {float(logs['loss']):.4f}, tokens right {logs['mean_token_accuracy']:.0%}"
