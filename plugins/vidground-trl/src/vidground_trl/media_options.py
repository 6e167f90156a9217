"""How every trainer here shows a video to its model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vidground_core import TrainerConfig


class MediaOptions(TrainerConfig):
    """What becomes of the frames."""

    video: Literal["native", "images"] = Field(
        "native", description="native: video tokens; images: each frame an image of its own after its time, about twice the tokens."
    )
