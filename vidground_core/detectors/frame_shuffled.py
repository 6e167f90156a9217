"""The frames in another order beside the frames in order: who needs the order?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.detectors.frames import FramesConfig, FramesConfigT, FramesDetector, has_video
from vidground_core.detectors.multiple_choice import choice_version
from vidground_core.records import Clip, Part, Probe, Question, View


class ShuffledConfig(FramesConfig):
    """Options of frame-shuffled."""

    shuffles: int = Field(
        1, ge=1, description="Shuffled orders shown, each in every rotation; one alone often leaves what was asked in order."
    )


class _Reordered(FramesDetector[FramesConfigT]):
    def unsuited(self, question: Question) -> str:
        """A question without a video has no order to lose."""
        return super().unsuited(question) if has_video(question) else f"not asked: no video whose frames could be {self.decides}"


class FrameShuffled(_Reordered[ShuffledConfig]):
    """Shows the video with its frames shuffled, and in order beside it: right all the same means that order is not needed.

    `shortcut` is the mean P(gold) with shuffled frames, over `shuffles` orders; the scores have the paired difference to ordered frames.
    Source: temporal probes such as TOMATO's frame-order sensitivity (arXiv 2410.23266).
    """

    name = "frame-shuffled"
    version = choice_version("2")
    Config: ClassVar[type[Any]] = ShuffledConfig
    conditions: ClassVar[tuple[str, ...]] = ("ordered", "shuffled")
    decides: ClassVar[str] = "shuffled"
    views: ClassVar[Mapping[str, View]] = {"shuffled": "shuffled"}

    def asked(self, question: Question, condition: str) -> list[Probe]:
        """Of the shuffled condition one set of trials an order: seeds from `seed` on."""
        first = super().asked(question, condition)
        return [_reseeded(probe, more) for more in range(self.trials_each(condition)) for probe in first]

    def trials_each(self, condition: str) -> int:
        """As many as there are shuffled orders."""
        return self.config.shuffles if condition == self.decides else 1


def _reseeded(probe: Probe, more: int) -> Probe:
    """The probe with `more` added to the seed of each shuffled clip."""

    def part(each: Part) -> Part:
        return replace(each, seed=each.seed + more) if isinstance(each, Clip) and each.view == "shuffled" else each

    messages = tuple((role, tuple(part(each) for each in parts)) for role, parts in probe.ask.messages)
    return replace(probe, ask=replace(probe.ask, messages=messages)) if more else probe


class FrameReversed(_Reordered[FramesConfig]):
    """Shows the video backwards, and in order beside it: right all the same means that the direction of time is not needed.

    `shortcut` is the mean P(gold) with reversed frames; the scores have the paired difference to ordered frames. Source: as for
    frame-shuffled; reversal keeps neighbouring frames together and turns only the arrow of time.
    """

    name = "frame-reversed"
    version = choice_version("1")
    conditions: ClassVar[tuple[str, ...]] = ("ordered", "reversed")
    decides: ClassVar[str] = "reversed"
    views: ClassVar[Mapping[str, View]] = {"reversed": "reversed"}
