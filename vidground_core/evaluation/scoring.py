"""Whether a reply is right, for multiple choice and for the open-ended kinds that have one checkable answer.

Free-form and regression answers are not judged by this version: a reply that differs from the reference may still be right.
"""

from __future__ import annotations

import re
from typing import Literal

from vidground_core.evaluation.answers import cleaned, extract, is_outage, is_refusal, marked_parts, plain
from vidground_core.evaluation.prompts import LETTERS
from vidground_core.records import Question

Scored = Literal["correct", "wrong", "refused", "unparsed", "failed"]
OPEN_KINDS = ("numerical", "OCR")

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_CUE = re.compile(r"\banswer(?: is|\s*:)\s*:?\s*(.+)", re.IGNORECASE)


def can_score(question: Question) -> bool:
    """Whether replies to this question can be judged: at most 26 lettered options, or one checkable answer."""
    return len(question.options) <= len(LETTERS) if question.options else question.kind in OPEN_KINDS


def score(question: Question, text: str, order: tuple[int, ...] = ()) -> Scored:
    """The outcome of one generated reply. Raises ValueError where `can_score` is False."""
    if question.options:
        found = extract(text, question.options, order or None)
        if found.option is None:
            return "unparsed" if found.outcome == "answer" else found.outcome
        return "correct" if question.options[found.option] == question.answer else "wrong"
    if question.kind not in OPEN_KINDS:
        raise ValueError(f"question {question.id!r}: {question.kind} answers cannot be scored by comparing texts")
    return _score_open(question, text)


def _score_open(question: Question, text: str) -> Scored:
    body = cleaned(text)
    if is_outage(body):
        return "failed"
    marked = marked_parts(text)
    cued = _CUE.findall(body)
    words = marked[-1] if marked else cued[-1] if cued else body
    if question.kind == "OCR":
        if plain(words) == plain(question.answer):
            return "correct"
        return "refused" if is_refusal(words) else "wrong" if plain(words) else "unparsed"
    numbers = {float(number.replace(",", "")) for number in _NUMBER.findall(words)}
    gold = {float(number.replace(",", "")) for number in _NUMBER.findall(question.answer)}
    if len(numbers) != 1 or len(gold) != 1:
        return "refused" if not numbers and is_refusal(words) else "unparsed"
    return "correct" if numbers == gold else "wrong"
