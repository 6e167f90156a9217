"""A question as the row that OpenRLHF reads: the prompt with a mark for each image, the images' paths, and a label for the reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidground_core import Question
from vidground_core.evaluation.prompts import find_prompt, render
from vidground_openrlhf.config import OpenRLHFConfig
from vidground_openrlhf.frames import Frame
from vidground_openrlhf.rewarding import label_of

IMAGE = "<image>"
# OpenRLHF puts an image wherever it reads the mark, in a question as well; a space keeps the text readable and is no mark.
_LITERAL: Mapping[str, str] = {IMAGE: "<image >", "<video>": "<video >"}


def neutralised(text: str) -> str:
    """The text without anything that OpenRLHF would take for a mark of an image."""
    for mark, instead in _LITERAL.items():
        text = text.replace(mark, instead)
    return text


def row_of(question: Question, clips: Sequence[Sequence[Frame]], config: OpenRLHFConfig) -> dict[str, Any]:
    """The row: {"prompt", "images", "label", "datasource"}; `clips` are the frames of each of the question's media."""
    text = neutralised(render(find_prompt(config.prompt), question))
    marks = []
    for media, frames in zip(question.media, clips, strict=True):
        timed = config.timestamps and media.type == "video"
        marks += [f"{frame.second:.1f}s: {IMAGE}" if timed else IMAGE for frame in frames]
    return {
        "prompt": "\n".join([*marks, text]),
        "images": [frame.path for frames in clips for frame in frames],
        "label": label_of(question.id, question.kind, question.answer, question.options),
        "datasource": question.source or "vidground",
    }


def parts_of(prompt: str) -> list[dict[str, str]] | str:
    """The prompt as a chat's content, the way OpenRLHF's PromptDataset takes it apart: texts stripped, none left empty."""
    if IMAGE not in prompt:
        return prompt
    parts: list[dict[str, str]] = []
    for number, piece in enumerate(prompt.split(IMAGE)):
        if number:
            parts.append({"type": "image"})
        if piece.strip():
            parts.append({"type": "text", "text": piece.strip()})
    return parts
