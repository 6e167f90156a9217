"""The frames in another order beside the frames in order: who needs the order?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vidground_core.detectors.frames import FramesConfig, FramesDetector, has_video
from vidground_core.detectors.multiple_choice import choice_version
from vidground_core.records import Question, View


class _Reordered(FramesDetector[FramesConfig]):
    def unsuited(self, question: Question) -> str:
        """A question without a video has no order to lose."""
        return super().unsuited(question) if has_video(question) else f"not asked: no video whose frames could be {self.decides}"


class FrameShuffled(_Reordered):
    """Shows the video with its frames shuffled, and in order beside it: right all the same means that order is not needed.

    `shortcut` is the mean P(gold) with shuffled frames; the scores have the paired difference to ordered frames. Source: temporal probes
    such as TOMATO's frame-order sensitivity (arXiv 2410.23266).
    """

    name = "frame-shuffled"
    version = choice_version("2")
    conditions: ClassVar[tuple[str, ...]] = ("ordered", "shuffled")
    decides: ClassVar[str] = "shuffled"
    views: ClassVar[Mapping[str, View]] = {"shuffled": "shuffled"}


class FrameReversed(_Reordered):
    """Shows the video backwards, and in order beside it: right all the same means that the direction of time is not needed.

    `shortcut` is the mean P(gold) with reversed frames; the scores have the paired difference to ordered frames. Source: as for
    frame-shuffled; reversal keeps neighbouring frames together and turns only the arrow of time.
    """

    name = "frame-reversed"
    version = choice_version("1")
    conditions: ClassVar[tuple[str, ...]] = ("ordered", "reversed")
    decides: ClassVar[str] = "reversed"
    views: ClassVar[Mapping[str, View]] = {"reversed": "reversed"}
