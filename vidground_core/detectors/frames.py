"""A question's media as clips, in a view: shared by the detectors that show frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vidground_core.detectors.choice_options import PROMPT
from vidground_core.detectors.multiple_choice import ChoiceConfig, ChoiceDetector, Trial, share
from vidground_core.evaluation.prompts import PromptChoice
from vidground_core.records import Clip, Part, Question, View


class FramesConfig(ChoiceConfig):
    """Options of detectors that show frames."""

    prompt: PromptChoice = Field("letter", description=PROMPT)
    frames: int = Field(8, ge=1, description="Frames shown, sampled uniformly.")
    pixels: int = Field(0, ge=0, description="Most pixels of a frame; 0 as decoded.")
    seed: int = Field(0, ge=0, description="Seed of what is drawn: the shuffled order, the other video.")


class PairedConfig(FramesConfig):
    """Options of detectors that can show the right video beside what they show."""

    paired: bool = Field(False, description="Also show the right video, and report P(gold) with it less P(gold) without.")


FramesConfigT = TypeVar("FramesConfigT", bound=FramesConfig)


def clips(question: Question, config: FramesConfig, view: View) -> tuple[Clip, ...]:
    """The question's media as clips; only a video has a view, and a seed only when shuffled, so that equal pictures share replies.

    Blank is the exception: an image is blanked too.
    """
    shown = []
    for medium in question.media:
        own: View = view if medium.type == "video" or view == "blank" else "ordered"
        frames = config.frames if medium.type == "video" else 1
        seed = config.seed if own == "shuffled" else 0
        shown.append(Clip(medium.path, "", medium.type, medium.start, medium.end, frames=frames, pixels=config.pixels, view=own, seed=seed))
    return tuple(shown)


class FramesDetector(ChoiceDetector[FramesConfigT]):
    """Base of detectors that show frames. `views` says which view a condition shows."""

    Config: ClassVar[type[Any]] = FramesConfig
    views: ClassVar[Mapping[str, View]] = {}

    @property
    def needs(self) -> frozenset[str]:
        """Video, besides what the scoring needs."""
        return super().needs | {"video"}

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """The media, videos in the condition's view, then the text."""
        return (*clips(question, self.config, self.views.get(condition, "ordered")), self.text(question, order))

    def scores(self, trials: Mapping[str, Sequence[Trial]]) -> Mapping[str, float | None]:
        """The deciding condition's numbers; where the right video was shown too, each condition's and ordered less deciding."""
        found = dict(super().scores(trials))
        if len(trials) > 1:
            found |= {condition: share(each) for condition, each in trials.items()}
            ordered, other = found.get("ordered"), found.get(self.decides)
            found["difference"] = None if ordered is None or other is None else ordered - other
        return found


def has_video(question: Question) -> bool:
    """Whether any of the media is a video."""
    return any(medium.type == "video" for medium in question.media)
