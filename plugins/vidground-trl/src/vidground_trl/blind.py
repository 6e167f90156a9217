"""What a model answers without its videos: the losing half of preference pairs, and a reason to make none where it is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from vidground_core import Question
from vidground_trl.booking import unsampled_tokens
from vidground_trl.rewards import RewardRow, strict
from vidground_trl.rows import write_whole

FILE = "blind.jsonl"
# Questions answered at once, and the reward from which on an open-ended answer counts as right.
ROWS, RIGHT = 32, 0.5


class BlindAnswers:
    """Greedy answers of `model` to the text of a question alone, asked as in training; `processor` is the model's own.

    `texts` holds the answers so far by question id.
    """

    def __init__(self, model: Any, processor: Any, config: Any, *, text: Callable[[Question], str]) -> None:
        self._model, self._processor, self._config, self._text = model.eval(), processor, config, text
        self._unsampled = unsampled_tokens(model, processor.tokenizer)
        self.texts: dict[str, str] = {}
        self.right = 0

    def reasons(self, questions: Sequence[Question]) -> list[str]:
        """Why no pair can be made of each question: its blind answer is right. Empty where it is wrong."""
        found = []
        for start in range(0, len(questions), ROWS):
            block = questions[start : start + ROWS]
            for question, answer in zip(block, self._answers(block), strict=True):
                self.texts[question.id] = answer
                right = self._is_right(answer, question)
                self.right += right
                found.append(f"the model's answer without the video is right: {answer!r}" if right else "")
        return found

    def _is_right(self, answer: str, question: Question) -> bool:
        forms = (self._config.accuracy, self._config.answer_format)
        row = RewardRow(question.id, question.text, question.kind, question.answer, tuple(question.options), *forms)
        return strict(answer, row) >= RIGHT

    @torch.inference_mode()
    def _answers(self, questions: Sequence[Question]) -> list[str]:
        chats = [[{"role": "user", "content": [{"type": "text", "text": self._text(question)}]}] for question in questions]
        texts = [self._processor.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]
        tokenizer = self._processor.tokenizer
        inputs = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(self._model.device)
        limits = {"max_new_tokens": self._config.rejected_tokens, "suppress_tokens": self._unsampled}
        whole = self._model.generate(**inputs, **limits, do_sample=False, temperature=None, top_p=None, top_k=None)
        answers = tokenizer.batch_decode(whole[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    def write(self, out: Path) -> None:
        """All answers, as `blind.jsonl`: rows of "id" and "answer"."""
        rows = ({"id": name, "answer": answer} for name, answer in self.texts.items())
        write_whole(out / FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_answers(out: Path) -> dict[str, str]:
    """The answers in `blind.jsonl`, by question id."""
    rows = (json.loads(line) for line in (out / FILE).read_text(encoding="utf-8").splitlines())
    return {row["id"]: row["answer"] for row in rows}
