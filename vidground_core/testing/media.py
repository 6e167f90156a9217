"""Frames that tell their own index, for tests of whatever samples, caches or forwards video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_STEP = 5


def counting_frames(count: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """uint8 (count, height, width, 3): grey, 5 levels brighter each frame (48 frames at most), a white bar moving along the top."""
    if not 0 < count <= 48:
        raise ValueError(f"count = {count}: between 1 and 48 frames can be told apart")
    frames = np.zeros((count, height, width, 3), np.uint8)
    for index in range(count):
        frames[index] = _STEP * index
        bar = (3 * index) % max(width - 8, 1)
        frames[index, : height // 6, bar : bar + 8] = 255
    return frames


def frame_number(frame: NDArray[np.uint8]) -> int:
    """The index that `counting_frames` drew into a frame, after any encoding or scaling that keeps grey levels within 2."""
    return round(float(frame[frame.shape[0] // 2 :].mean()) / _STEP)


def counting_video(path: str | Path, *, count: int = 40, fps: float = 10, height: int = 48, width: int = 64) -> Path:
    """Writes `counting_frames` as H.264 with B-frames and a key frame each 12; returns the path."""
    from vidground_core.media import write_video

    write_video(path, counting_frames(count, height, width), fps=fps, options={"crf": "5", "g": "12", "bf": "2"})
    return Path(path)
