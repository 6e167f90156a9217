"""How a row is put to the model: the prompt, then, for answers in tags, the instruction of Video-R1 for the row's kind."""

from __future__ import annotations

from collections.abc import Mapping

from vidground_core import Question
from vidground_core.evaluation.prompts import find_prompt, render

_THINK = (
    "Please think about this question as if you were a human pondering deeply. Engage in an internal dialogue using expressions such as"
    " 'let me think', 'wait', 'Hmm', 'oh, I see', 'let's break it down', etc, or other natural language thought expressions. It's"
    " encouraged to include self-reflection or verification in the reasoning process. Provide your detailed reasoning between the <think>"
    " </think> tags, and then give your final answer between the <answer> </answer> tags."
)
_WITHIN: Mapping[str, str] = {
    "letter": "Please provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> </answer> tags.",
    "option-text": "Please provide only the text of the right option within the <answer> </answer> tags.",
    "numerical": "Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags.",
    "regression": "Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags.",
    "OCR": "Please transcribe text from the image/video clearly and provide your text answer within the <answer> </answer> tags.",
    "free-form": "Please provide your text answer within the <answer> </answer> tags.",
}


def instruct(question: Question, *, prompt: str, answer_format: str, accuracy: str) -> str:
    """The text of the user's turn. Raises ConfigError for an unknown prompt."""
    text = render(find_prompt(prompt), question)
    if answer_format == "plain":
        return text
    return f"{text}\n{_THINK} {_WITHIN[accuracy if question.options else question.kind]}"
