"""One frame of the video: who needs more than a picture?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.detectors.frames import FramesConfig, FramesDetector, has_video
from vidground_core.detectors.multiple_choice import Trial, choice_version
from vidground_core.detectors.trials import mean, share
from vidground_core.records import Clip, Part, Question


class SingleFrameConfig(FramesConfig):
    """Options of single-frame."""

    frames: int = Field(1, ge=1, description="1: the centre frame; n: each of n uniform frames alone, and the best of them counts.")


class SingleFrame(FramesDetector[SingleFrameConfig]):
    """Shows one frame, the centre one or the best of n, each asked alone: right all the same means that a picture is enough.

    With n > 1 the frame whose P(gold) (or share of right answers) is largest gives the verdict; the score `mean_over_frames` stands
    beside it, because the best of n is above chance for a model that guesses. Source: single-frame baselines as in Lei et al.,
    Revealing Single Frame Bias (arXiv 2206.03428), and the multi-frame gain of TOMATO (arXiv 2410.23266).
    """

    name = "single-frame"
    version = choice_version("1")
    Config: ClassVar[type[Any]] = SingleFrameConfig
    conditions: ClassVar[tuple[str, ...]] = ("centre",)
    decides: ClassVar[str] = "centre"

    def shown(self) -> tuple[str, ...]:
        """The centre, or the frames by number."""
        return self.conditions if self.config.frames == 1 else tuple(f"frame {number + 1}" for number in range(self.config.frames))

    def unsuited(self, question: Question) -> str:
        """A question about an image has one frame anyway."""
        return super().unsuited(question) if has_video(question) else "not asked: no video to take one frame of"

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """One frame of each video, images as they are, then the text."""
        number = 0 if self.config.frames == 1 else self.shown().index(condition) + 1
        pictures = []
        for medium in question.media:
            clip = Clip(medium.path, "", medium.type, medium.start, medium.end, frames=1, pixels=self.config.pixels)
            if medium.type == "video":
                clip = replace(clip, frames=self.config.frames, view="single", seed=number)
            pictures.append(clip)
        return (*pictures, self.text(question, order))

    def decided(self, question: Question, trials: Mapping[str, Sequence[Trial]]) -> tuple[float | None, bool | None]:
        """The verdict of the best frame; not answered only where no frame is and each was judged."""
        settled = [self.settle(question, each) for each in trials.values()]
        best = max((shortcut for shortcut, _ in settled if shortcut is not None), default=None)
        said = [answered for _, answered in settled]
        return best, True if True in said else None if None in said else False

    def scores(self, trials: Mapping[str, Sequence[Trial]]) -> Mapping[str, float | None]:
        """Of the best frame; with several frames also the mean over all."""
        shares = {condition: share(each) for condition, each in trials.items()}
        best = max(shares, key=lambda condition: -1.0 if shares[condition] is None else shares[condition] or 0.0)
        found = self.numbers(trials[best])
        return found if len(trials) == 1 else {**found, "mean_over_frames": mean(list(shares.values()))}
