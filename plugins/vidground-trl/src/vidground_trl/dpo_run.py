"""Direct preference optimisation inside the worker: the gold answer over the model's own blind one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import DPOConfig, DPOTrainer

from vidground_core import Question, SetAside
from vidground_trl.blind import RIGHT_ANSWER, BlindAnswers, read_answers
from vidground_trl.booking import unbook
from vidground_trl.collate import PairCollator
from vidground_trl.loading import check_architecture
from vidground_trl.lora import adapters
from vidground_trl.recording import Recorder, say
from vidground_trl.rows import Selection
from vidground_trl.run import Setting
from vidground_trl.targets import target
from vidground_trl.teaching import TeachingRun


class DPORun(TeachingRun):
    """A run of `trl-dpo`."""

    arguments_type: ClassVar[type[Any]] = DPOConfig

    def choose(self) -> tuple[Selection, list[SetAside]]:
        """Rows that can be shown and that the start checkpoint does not answer without their videos; its answers go to `blind.jsonl`."""
        config = self.config
        trust = {"trust_remote_code": config.trust_remote_code}
        check_architecture(self.job)
        model = AutoModelForImageTextToText.from_pretrained(self.job.model, dtype=config.weights, **trust)
        if not self.cpu:
            model.to("cuda")
        blind = BlindAnswers(model, AutoProcessor.from_pretrained(self.job.model, **trust), config, text=self.text, out=self.out)
        found, aside = self.select(blind.reasons)
        right = sum(row.reason.startswith(RIGHT_ANSWER) for row in aside)
        say(f"{right} of {len(blind.texts)} questions are answered right without the video: no pair is made of them")
        return found, aside

    def row(self, question: Question) -> dict[str, Any]:
        """Prompt, chosen and rejected answer."""
        form = {"answer_format": self.config.answer_format, "accuracy": self.config.accuracy}
        return {**self.asked(question), "chosen": target(question, **form), "rejected": self._rejected[question.id]}

    def build(self, setting: Setting) -> DPOTrainer:
        """TRL's DPOTrainer with our collator; the reference model takes booked input too. Nothing is cut or dropped."""
        trainer = DPOTrainer(
            model=setting.model,
            args=self.arguments(setting.plan, **self.as_given(), beta=self.config.beta),
            data_collator=PairCollator(setting.processor),
            train_dataset=setting.rows,
            processing_class=setting.processor,
            peft_config=adapters(self.config),
        )
        if trainer.ref_model is not None:
            unbook(trainer.accelerator.unwrap_model(trainer.ref_model), setting.store, share=self.config.share_videos)
        return trainer

    def dataset(self, selection: Selection) -> Any:
        """As the base does, with the rejected answers at hand."""
        self._rejected = read_answers(self.out)
        return super().dataset(selection)

    def recorder(self) -> Recorder:
        """Metrics with a loss in them."""
        return Recorder(self.out, consumed=self.consumed, leading="loss", headline=_headline)

    def announce(self, setting: Setting, selection: Selection) -> None:
        """Effective batch, pairs and tokens."""
        batch = PairCollator(setting.processor)(self.first_rows(setting))
        self.say_size(setting, selection, what="pairs", tokens=batch["attention_mask"], learnt=batch["completion_mask"])


def _headline(logs: Mapping[str, Any]) -> str:
    return f"loss {float(logs['loss']):.4f}, margin {logs['rewards/margins']:.3f}, pairs in order {logs['rewards/accuracies']:.0%}"
