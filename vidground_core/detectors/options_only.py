"""The options without the question: what do the distractors give away?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.detectors.choice_options import PROMPT
from vidground_core.detectors.multiple_choice import ChoiceConfig, ChoiceDetector, choice_version
from vidground_core.evaluation.prompts import PromptChoice
from vidground_core.records import Part, Question


class OptionsOnlyConfig(ChoiceConfig):
    """Options of options-only."""

    prompt: PromptChoice = Field("options-only", description=PROMPT)


class OptionsOnly(ChoiceDetector[OptionsOnlyConfig]):
    """Shows the options without the question and without media: artefacts of how the distractors were written.

    Source: choices-only prompting, Balepur et al., Artifacts or Abduction (arXiv 2402.12483).
    """

    name = "options-only"
    version = choice_version("1")
    Config: ClassVar[type[Any]] = OptionsOnlyConfig
    conditions: ClassVar[tuple[str, ...]] = ("options",)
    decides: ClassVar[str] = "options"

    def unsuited(self, question: Question) -> str:
        """Without options there is nothing to show."""
        return super().unsuited(question) if question.options else "not asked: no options"

    def text(self, question: Question, order: Sequence[int]) -> str:
        """The options and the instruction."""
        return super().text(replace(question, text=""), order)

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """The text alone."""
        return (self.text(question, order),)
