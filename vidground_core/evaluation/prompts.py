"""The texts that questions are asked with; named and versioned, part of every reply's key because they are part of the ask.

`PROMPTS_VERSION` is raised when a shipped text changes; detectors carry it in their version, so finished work of the old texts is not
mistaken for work of the new ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from vidground_core.config import ComponentConfig, build
from vidground_core.errors import ConfigError, nearest
from vidground_core.records import Kind, Question

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PROMPTS_VERSION = "1"

_COMMON_SENSE = (
    "Based on the question and options provided, use your knowledge and common sense to determine the most likely correct answer."
)
_NO_REFUSAL = (
    " The video and subtitles are not available. Based only on the question and options, you must choose the most plausible answer."
    " If unsure, make your best guess. Do not refuse to answer."
)
_LMMS_EVAL = (
    "Select the best answer to the following multiple-choice question based on the video and the subtitles. Respond with only the letter"
    " (A, B, C, or D) of the correct option.\n{question}\n{options}\n\nAnswer with the option's letter from the given choices directly."
)
_VLMEVALKIT = (
    "\nThese are the frames of a video. Select the best answer to the following multiple-choice question based on the video. Respond with"
    " only the letter (A, B, C, or D) of the correct option.\nQuestion: {question}\n{options}\nAnswer: "
)
_PONDER = (
    "\nPlease think about this question as if you were a human pondering deeply. Engage in an internal dialogue using expressions such as"
    " 'let me think', 'wait', 'Hmm', 'oh, I see', 'let's break it down', etc, or other natural language thought expressions It's"
    " encouraged to include self-reflection or verification in the reasoning process. Provide your detailed reasoning between the <think>"
    " </think> tags, and then give your final answer between the <answer> </answer> tags. Please "
)
_NUMBER = "provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags."
_WITHIN: Mapping[Kind, str] = {
    "multiple choice": "provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> </answer> tags.",
    "numerical": _NUMBER,
    "OCR": "transcribe text from the image/video clearly and provide your text answer within the <answer> </answer> tags.",
    "free-form": "provide your text answer within the <answer> </answer> tags.",
    "regression": _NUMBER,
}


@dataclass(frozen=True)
class Prompt:
    """One way to put a question.

    `instruction` stands after the question and its lettered options, on a line of its own; empty for none. A `layout` replaces all of
    that: `{question}` and `{options}` (the lettered lines) are filled in. `layouts` holds layouts by kind, `layout` is for the others.
    """

    name: str
    version: str
    instruction: str = ""
    layout: str = ""
    layouts: Mapping[Kind, str] = field(default_factory=dict)


_OPEN: tuple[Kind, ...] = ("numerical", "OCR", "free-form", "regression")

# Sources: paper* arXiv 2604.05117; lmms-eval tasks/videomme/no_visual (open-ended: its usual short-answer line); VLMEvalKit
# dataset/videomme.py (open-ended: its models' usual line); Video-R1 grpo.py.
PROMPTS: Mapping[str, Prompt] = {
    prompt.name: prompt
    for prompt in (
        Prompt("bare", "1"),
        Prompt("letter", "1", "Answer with the option's letter from the given choices directly."),
        Prompt("paper", "1", _COMMON_SENSE),
        Prompt("paper-no-refusal", "1", _COMMON_SENSE + _NO_REFUSAL),
        Prompt(
            "lmms-eval",
            "1",
            layout=_LMMS_EVAL,
            layouts=dict.fromkeys(_OPEN, "{question}\nAnswer the question using a single word or phrase."),
        ),
        Prompt("vlmevalkit", "1", layout=_VLMEVALKIT, layouts=dict.fromkeys(_OPEN, "{question}\nAnswer the question directly.")),
        Prompt(
            "video-r1",
            "1",
            layouts={kind: ("{question}Options:\n{options}\n" if kind == "multiple choice" else "{question}") + _PONDER + words
                     for kind, words in _WITHIN.items()},
        ),
        Prompt("options-only", "1", "The question is not shown. Choose the option that is most likely the right answer to it."),
    )
}  # fmt: skip


class OwnPrompt(ComponentConfig):
    """A prompt of the user's own."""

    text: str = Field(
        description="An instruction put after question and options, or a whole layout with {question} and {options}, which stands for the"
        " lettered lines and is empty where there are none."
    )
    name: str = Field("own", description="What it is called in outputs.")


def _from_file(value: Any) -> Any:
    """A name as it is; a path to a file as the text that stands in it."""
    if isinstance(value, Mapping):
        return build(OwnPrompt, value, "prompt")
    if not isinstance(value, str) or value in PROMPTS or not value or not Path(value).is_file():
        return value
    try:
        text = Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prompt file {value!r} cannot be read: {error}") from error
    return {"text": text.rstrip("\n"), "name": Path(value).stem}


PromptChoice = Annotated[str | OwnPrompt, BeforeValidator(_from_file)]
"""A shipped prompt's name, the path of a text file, or `{text: …}`; a file's text becomes part of the config, so that it is recorded."""


def find_prompt(choice: str | OwnPrompt) -> Prompt:
    """The prompt that a config names. Raises ConfigError with the nearest name, or where a text cannot be a prompt."""
    if isinstance(choice, OwnPrompt):
        return _own(choice)
    if choice not in PROMPTS:
        raise ConfigError(f"unknown prompt {choice!r}; {nearest(choice, PROMPTS)}; or give a text file, or the text as prompt.text")
    return PROMPTS[choice]


def _own(choice: OwnPrompt) -> Prompt:
    version = hashlib.sha256(choice.text.encode()).hexdigest()[:12]
    places = [place in choice.text for place in ("{question}", "{options}")]
    if not choice.text.strip():
        raise ConfigError(f"the prompt {choice.name!r} is empty; for question and options alone name the prompt 'bare'")
    if places[0] != places[1]:
        there, missing = ("{question}", "{options}") if places[0] else ("{options}", "{question}")
        raise ConfigError(f"the prompt {choice.name!r} has {there} but not {missing}: a layout has both, an instruction neither")
    return Prompt(choice.name, version, layout=choice.text) if places[0] else Prompt(choice.name, version, choice.text)


def render(prompt: Prompt, question: Question, order: Sequence[int] | None = None) -> str:
    """The text shown: the question, its options in the given order (indices into `question.options`) with letters, the instruction.

    An empty question is left out where the prompt has no layout of its own.
    """
    shown = range(len(question.options)) if order is None else order
    options = [f"{LETTERS[place]}. {question.options[index]}" for place, index in enumerate(shown)]
    layout = prompt.layouts.get("multiple choice" if question.options else question.kind, prompt.layout)
    if layout:
        before, marker, after = layout.partition("{options}")
        # Filled in from the two ends, so that braces within a question or an option stay as they are.
        filled = [part.replace("{question}", question.text) for part in (before, after)]
        return "\n".join(options).join(filled) if marker else filled[0]
    return "\n".join(part for part in (question.text, *options, prompt.instruction) if part)
