"""The probe of `vg eval`: a question with its video in order, asked once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.detectors.choice_options import Calibration
from vidground_core.detectors.frames import FramesConfig, clips
from vidground_core.detectors.multiple_choice import ChoiceDetector, Rule, Scoring, choice_version
from vidground_core.records import Part, Question


class WatchConfig(FramesConfig):
    """Options of an evaluation; as everywhere else, except that a question is asked once and a generated answer is read."""

    rotations: int = Field(1, ge=0, description="Cyclic orders of the options asked; one is the usual protocol.")
    rule: Rule = Field("all", description="When a question counts as right: all trials, any, mean, or a number of them.")
    scoring: Scoring = Field("generate", description="A generated answer, or the likeliest letter or option text.")
    calibration: Calibration = Field("none", description="Position calibration, where the likeliest letter or option text is taken.")


class WithVideo(ChoiceDetector[WatchConfig]):
    """Shows the media as they are and asks; `answered` means right."""

    name = "with-video"
    version = choice_version("2")
    Config: ClassVar[type[Any]] = WatchConfig
    conditions: ClassVar[tuple[str, ...]] = ("ordered",)
    decides: ClassVar[str] = "ordered"

    @property
    def needs(self) -> frozenset[str]:
        """Video, besides what the scoring needs."""
        return super().needs | {"video"}

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """The media, then the text."""
        return (*clips(question, self.config, "ordered"), self.text(question, order))
