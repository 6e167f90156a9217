"""A question's media as clips, in a view: shared by the detectors that show frames."""

from __future__ import annotations

from pydantic import Field

from vidground_core.detectors.multiple_choice import ChoiceConfig
from vidground_core.records import Clip, Question, View


class FramesConfig(ChoiceConfig):
    """Options of detectors that show frames."""

    frames: int = Field(8, ge=1, description="Frames shown, sampled uniformly.")
    pixels: int = Field(0, ge=0, description="Most pixels of a frame; 0 as decoded.")
    seed: int = Field(0, ge=0, description="Seed of the shuffled order.")


def clips(question: Question, config: FramesConfig, view: View) -> tuple[Clip, ...]:
    """The question's media as clips; only a video has a view, and a seed only when shuffled, so that equal pictures share replies."""
    shown = []
    for medium in question.media:
        own: View = view if medium.type == "video" else "ordered"
        frames = config.frames if medium.type == "video" else 1
        seed = config.seed if own == "shuffled" else 0
        shown.append(Clip(medium.path, "", medium.type, medium.start, medium.end, frames=frames, pixels=config.pixels, view=own, seed=seed))
    return tuple(shown)
