"""Blind probes: the question and its options, no video, no image, no subtitles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vidground_core.detectors.multiple_choice import ChoiceConfig, ChoiceDetector, choice_version
from vidground_core.records import Part, Question


class _Blind(ChoiceDetector[ChoiceConfig]):
    conditions: ClassVar[tuple[str, ...]] = ("blind",)
    decides: ClassVar[str] = "blind"

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        return (self.text(question, order),)


class BlindVLM(_Blind):
    """Asks the vision-language model to be trained without showing it the video: its own (on-policy) priors.

    Source: the on-policy filter and circular evaluation of arXiv 2604.05117.
    """

    name = "blind-vlm"
    version = choice_version("2")


class BlindLLM(_Blind):
    """Asks a text-only language model: priors of language and knowledge of the world. Set its `model`, and `engine` where it differs.

    Source: the VidGround rule of arXiv 2604.05117.
    """

    name = "blind-llm"
    version = choice_version("2")
