"""What a row says: the prompt with its media tags, the gold answer, the answer that is wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from vidground_core.evaluation.prompts import LETTERS, Prompt, PromptChoice, find_prompt, render
from vidground_core.records import Question

Task = Literal["rl", "sft", "dpo"]
AnswerForm = Literal["letter", "text"]
ValueT = TypeVar("ValueT")

_TAGS = "image|img|video|audio|bbox|ref-object|cot-process|start-image"
_TOKENS = "im_start|im_end|im_patch|img_context|image_soft_token|start_of_image|end_of_image|start_of_turn|end_of_turn|bos|eos|s"
_CLAIMING = re.compile(rf"<(?=/?(?:{_TAGS}|{_TOKENS})>|\|[\w-]+\|>)", re.IGNORECASE)
_LETTER = "letter"
_REASONED = "video-r1"


def neutral(text: str) -> str:
    """The text with tags and tokens that a trainer would take for media or turns broken up: "<video>" becomes "< video>".

    Tokens are whatever is written <|so|>, and those of other models' templates.
    """
    return _CLAIMING.sub("< ", text) if "<" in text else text


class OfLast(Generic[ValueT]):
    """A function of a question that keeps its last value: exporters that share a reading ask for the same question one after another."""

    def __init__(self, made: Callable[[Question], ValueT]) -> None:
        self._made = made
        self._last: tuple[Question, ValueT] | None = None

    def __call__(self, question: Question) -> ValueT:
        """The value, made anew where the question is another than the last."""
        last = self._last
        if last is None or last[0] is not question:
            last = self._last = (question, self._made(question))
        return last[1]


_texts: OfLast[dict[tuple[str, str], str]] = OfLast(lambda question: {})


class Asking:
    """How questions are asked and answered in one export.

    `choice` is a prompt's name, or empty: then rows for reinforcement learning and rows with a written reasoning (the tag `process`) are
    asked as in Video-R1, with <think> and <answer> tags, and the others for the letter; an open-ended one without an instruction.
    """

    def __init__(self, choice: PromptChoice | str, task: Task, form: AnswerForm = "letter", *, seed: int = 0) -> None:
        self.task, self.form, self.seed = task, form, seed
        self._given = find_prompt(choice) if choice else None
        self._letter, self._bare, self._reasoned = find_prompt(_LETTER), find_prompt("bare"), find_prompt(_REASONED)

    def prompt(self, question: Question) -> Prompt:
        """The prompt that this question is put with."""
        if self._given is not None and self._given.name != _LETTER:
            return self._given
        if self._given is None and (self.task == "rl" or question.tags.get("process")):
            return self._reasoned
        return self._letter if question.options else self._bare

    def text(self, question: Question) -> str:
        """The question, its lettered options and the instruction, without tags of media."""
        prompt, texts = self.prompt(question), _texts(question)
        key = (prompt.name, prompt.version)
        if key not in texts:
            texts[key] = neutral(render(prompt, question))
        return texts[key]

    def truth(self, question: Question) -> str:
        """The gold answer as a reward compares it: the letter, or the text of the option as the prompt shows it, else the reference answer.

        No trainer looks for media in it, so a reference answer stays as it is.
        """
        named = self._named(question, question.answer)
        return neutral(named) if question.options else named

    def response(self, question: Question) -> str:
        """The gold answer as a model should write it: in <answer> tags where the prompt asks for them, after a written reasoning.

        Without tags of media, as in the prompt: trainers count them over all turns.
        """
        process = question.tags.get("process", "")
        said = self._said(question, question.answer)
        return neutral(f"{process}\n{said}") if process and said.startswith("<answer>") else said

    def rejected(self, question: Question) -> str | None:
        """A wrong answer in the same form: one of the other options, drawn by the question's id and the seed; None where there is none."""
        wrong = [option for option in question.options if option != question.answer]
        if not wrong:
            return None
        digest = hashlib.sha256(f"{self.seed}\n{question.id}".encode()).digest()
        return self._said(question, wrong[int.from_bytes(digest[:8], "big") % len(wrong)])

    def _said(self, question: Question, answer: str) -> str:
        prompt = self.prompt(question)
        layout = prompt.layouts.get("multiple choice" if question.options else question.kind, prompt.layout)
        tagged = "<answer>" in (layout or prompt.instruction)
        named = self._named(question, answer)
        return neutral(f"<answer>{named}</answer>" if tagged else named)

    def _named(self, question: Question, answer: str) -> str:
        return LETTERS[question.options.index(answer)] if question.options and self.form == "letter" else answer
