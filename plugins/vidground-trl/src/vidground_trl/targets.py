"""What a question's answer looks like when it is taught."""

from __future__ import annotations

from vidground_core import Question
from vidground_core.evaluation.prompts import LETTERS


def target(question: Question, *, accuracy: str, answer_format: str, rationale: str = "") -> str:
    """The gold answer in the form that `instruct` asks for: the option's letter or text, in tags for "think".

    `rationale` names the tag of the question that holds the reasoning; its own `<think>` tags are not doubled.
    """
    answer = question.answer
    if accuracy == "letter" and answer in question.options:
        answer = LETTERS[question.options.index(answer)]
    if answer_format == "plain":
        return answer
    thought = question.tags.get(rationale, "") if rationale else ""
    thought = thought.strip().removeprefix("<think>").removesuffix("</think>").strip()
    return f"<think>{thought}</think>\n<answer>{answer}</answer>"
