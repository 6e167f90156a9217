"""Whether a reply is right: options by the extractor, open-ended answers by a named set of rules."""

from __future__ import annotations

from typing import Literal

from vidground_core.evaluation.answers import extract
from vidground_core.evaluation.open_ended import OPEN_KINDS, Rules, grade
from vidground_core.evaluation.prompts import LETTERS
from vidground_core.records import Question

Scored = Literal["correct", "wrong", "refused", "unparsed", "failed"]


def can_score(question: Question) -> bool:
    """Whether replies to this question can be judged: at most 26 lettered options, or an open-ended kind."""
    return len(question.options) <= len(LETTERS) if question.options else question.kind in OPEN_KINDS


def score(question: Question, text: str, order: tuple[int, ...] = (), *, rules: Rules = "strict") -> Scored:
    """The outcome of one generated reply; `rules` for open-ended kinds. Raises ValueError where `can_score` is False."""
    return score_with_value(question, text, order, rules=rules)[0]


def score_with_value(question: Question, text: str, order: tuple[int, ...] = (), *, rules: Rules = "strict") -> tuple[Scored, float | None]:
    """The outcome and, for an open-ended answer that could be read, how right it is, 0..1."""
    if question.options:
        found = extract(text, question.options, order or None)
        if found.option is None:
            return "unparsed" if found.outcome == "answer" else found.outcome, None
        return "correct" if question.options[found.option] == question.answer else "wrong", None
    if question.kind not in OPEN_KINDS:
        raise ValueError(f"question {question.id!r}: {question.kind} without options cannot be scored")
    graded = grade(question.kind, text, question.answer, rules)
    if graded.outcome == "scored":
        return "correct" if graded.right else "wrong", graded.value
    return graded.outcome, None
