"""What a model answers without its videos: the losing half of preference pairs, and a reason to make none where it is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vidground_core import Question
from vidground_trl.booking import unsampled_tokens
from vidground_trl.examined import append_lines, whole_lines
from vidground_trl.rewards import RewardRow, strict

FILE = "blind.jsonl"
# Questions answered at once, and the reward from which on an open-ended answer counts as right.
ROWS, RIGHT = 32, 0.5
# How the reason begins why no pair is made of a question.
RIGHT_ANSWER = "the model's answer without the video is right:"


class BlindAnswers:
    """Greedy answers of `model` to the text of a question alone, asked as in training; `processor` is the model's own.

    `texts` holds the answers so far by question id; with `out` they are written to its `blind.jsonl` as they come (rows of "id" and
    "answer"), and those that stand there are not asked for again.
    """

    def __init__(self, model: Any, processor: Any, config: Any, *, text: Callable[[Question], str], out: Path | None = None) -> None:
        self._model, self._processor, self._config, self._text = model.eval(), processor, config, text
        self._unsampled = unsampled_tokens(model, processor.tokenizer)
        self._file = None if out is None else out / FILE
        self.texts: dict[str, str] = {} if self._file is None else {row["id"]: row["answer"] for row in whole_lines(self._file)}

    def reasons(self, questions: Sequence[Question]) -> list[str]:
        """Why no pair can be made of each question: its blind answer is right. Empty where it is wrong."""
        found = []
        for start in range(0, len(questions), ROWS):
            block = questions[start : start + ROWS]
            if not all(question.id in self.texts for question in block):
                self._keep({question.id: answer for question, answer in zip(block, self._answers(block), strict=True)})
            for question in block:
                answer = self.texts[question.id]
                found.append(f"{RIGHT_ANSWER} {answer!r}" if self._is_right(answer, question) else "")
        return found

    def _keep(self, answers: Mapping[str, str]) -> None:
        self.texts |= answers
        if self._file is not None:
            append_lines(self._file, [json.dumps({"id": name, "answer": text}, ensure_ascii=False) for name, text in answers.items()])

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


def read_answers(out: Path) -> dict[str, str]:
    """The answers in `blind.jsonl`, by question id."""
    rows = (json.loads(line) for line in (out / FILE).read_text(encoding="utf-8").splitlines())
    return {row["id"]: row["answer"] for row in rows}
