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
    prefetch: int = Field(
        1, ge=0, description="Steps ahead for which threads make videos ready, in cache_mb more; 0: none. A CPU run needs threads = 2."
    )
    max_prompt_tokens: int = Field(
        0, ge=0, description="Rows whose prompt takes more tokens, those of media among them, are set aside, never cut; 0 for no limit."
    )


def threads_ahead(prefetch: int, *, cpu: bool, threads: int, cores: int) -> int:
    """Threads of a process that make videos ready: beside a GPU up to four of its `cores`, on a CPU what its `threads` leave beside one."""
    return min(4, threads - 1 if cpu else max(1, cores)) if prefetch else 0
