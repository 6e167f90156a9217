"""The frames in random order beside the frames in order: who needs the order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from vidground_core.detectors.frames import FramesConfig, clips
from vidground_core.detectors.multiple_choice import ChoiceDetector, Trial, choice_version, share
from vidground_core.records import Part, Question, View


class FrameShuffled(ChoiceDetector[FramesConfig]):
    """Shows the video with its frames shuffled, and in order beside it: right all the same means that order is not needed.

    `shortcut` is the mean P(gold) with shuffled frames; the scores have the paired difference to ordered frames. Source: temporal probes
    such as TOMATO's frame-order sensitivity (arXiv 2410.23266).
    """

    name = "frame-shuffled"
    version = choice_version("1")
    Config: ClassVar[type[Any]] = FramesConfig
    conditions: ClassVar[tuple[str, ...]] = ("ordered", "shuffled")
    decides: ClassVar[str] = "shuffled"

    @property
    def needs(self) -> frozenset[str]:
        """Video, besides what the scoring needs."""
        return super().needs | {"video"}

    def unsuited(self, question: Question) -> str:
        """A question without a video has no order to lose."""
        if not any(medium.type == "video" for medium in question.media):
            return "not asked: no video whose frames could be shuffled"
        return super().unsuited(question)

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """The media, videos in the condition's view, then the text."""
        view: View = "shuffled" if condition == "shuffled" else "ordered"
        return (*clips(question, self.config, view), self.text(question, order))

    def scores(self, trials: Mapping[str, Sequence[Trial]]) -> dict[str, float]:
        """P(gold) (or the share right) with ordered and shuffled frames, and the first minus the second."""
        shown = {condition: share(trials[condition]) for condition in self.conditions}
        scores = {condition: value for condition, value in shown.items() if value is not None}
        if len(scores) == len(self.conditions):
            scores["difference"] = scores["ordered"] - scores["shuffled"]
        return scores
