"""The texts that questions are asked with; named and versioned, part of every reply's key because they are part of the ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vidground_core.errors import ConfigError, nearest
from vidground_core.records import Question

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_COMMON_SENSE = (
    "Based on the question and options provided, use your knowledge and common sense to determine the most likely correct answer."
)
_NO_REFUSAL = (
    " The video and subtitles are not available. Based only on the question and options, you must choose the most plausible answer."
    " If unsure, make your best guess. Do not refuse to answer."
)


@dataclass(frozen=True)
class Prompt:
    """`instruction` is put after the question and its lettered options, on a line of its own; empty for none."""

    name: str
    version: str
    instruction: str


PROMPTS: Mapping[str, Prompt] = {
    prompt.name: prompt
    for prompt in (
        Prompt("bare", "1", ""),
        Prompt("letter", "1", "Answer with the option's letter from the given choices directly."),
        Prompt("paper", "1", _COMMON_SENSE),
        Prompt("paper-no-refusal", "1", _COMMON_SENSE + _NO_REFUSAL),
    )
}


def find_prompt(name: str) -> Prompt:
    """The prompt of that name. Raises ConfigError with the nearest name."""
    if name not in PROMPTS:
        raise ConfigError(f"unknown prompt {name!r}; {nearest(name, PROMPTS)}")
    return PROMPTS[name]


def render(prompt: Prompt, question: Question, order: Sequence[int] | None = None) -> str:
    """The text shown: the question, its options in the given order (indices into `question.options`) with letters, the instruction."""
    shown = range(len(question.options)) if order is None else order
    lines = [question.text] + [f"{LETTERS[place]}. {question.options[index]}" for place, index in enumerate(shown)]
    return "\n".join(lines + ([prompt.instruction] if prompt.instruction else []))
