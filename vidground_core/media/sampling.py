"""Which frames of a video are shown.

Times are seconds from the first frame, one for each frame, not decreasing. A frame is on screen from its own time until the next one's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vidground_core.errors import MediaError
from vidground_core.records import Clip

Times = NDArray[np.float64]
Indices = NDArray[np.int64]
# Containers round times to a millisecond, and decord gives them as float32.
_SLACK = 1e-3


def duration(times: Times, rate: float) -> float:
    """Seconds until the last frame leaves the screen; it is given the median spacing of the others, or 1/`rate` where it is alone."""
    spacing = float(np.median(np.diff(times))) if len(times) > 1 else 1 / rate if rate > 0 else 0.0
    return float(times[-1]) + spacing


def uniform(first: int, last: int, count: int) -> Indices:
    """`count` of the frames first..last-1: first + floor((k + 0.5) · N / count), k = 0..count-1: the middles of equal parts.

    Where there are no more than `count` frames, each of them once.
    """
    there = last - first
    if there <= count:
        return np.arange(first, last)
    return first + (2 * np.arange(count, dtype=np.int64) + 1) * there // (2 * count)


def choose(clip: Clip, times: Times, length: float) -> tuple[Indices, float]:
    """The frames that the clip asks for, in order, and the sampled frames per second of source time.

    By count (`clip.frames`): `uniform` over the frames of the span. By rate (`clip.frames` = 0): the frames on screen at the middles
    start + (k + 0.5)/fps, each once. The view "single" takes the middle frame of the span, with seed k > 0 the k-th of `clip.frames`
    uniform ones. Raises MediaError for an impossible span or rate.
    """
    start, end = span(clip, length)
    first, last = (int(index) for index in np.searchsorted(times, [start - _SLACK, end - _SLACK]))
    last = len(times) if end >= length else last
    if first >= last:
        first = max(first - 1, 0)
        last = first + 1
    picked = clip.view == "single" and clip.seed > 0 and clip.frames > 0
    count = 1 if clip.view == "single" and not picked else clip.frames
    if count > 0:
        chosen = uniform(first, last, count)
        chosen = chosen[[min(clip.seed, len(chosen)) - 1]] if picked else chosen
    elif clip.fps > 0:
        instants = start + (np.arange(max(1, round((end - start) * clip.fps))) + 0.5) / clip.fps
        shown = np.searchsorted(times, np.minimum(instants, end) + _SLACK, side="right") - 1
        chosen = np.unique(np.clip(shown, first, last - 1))
    else:
        raise MediaError(f"{clip.path!r}: frames = {clip.frames} and fps = {clip.fps}: one of them must be more than 0")
    # Models floor multiples of 1/fps to positions: noise in the last bits of 2.0 would move them.
    return chosen, round(len(chosen) / max(end - start, _SLACK), 6)


def span(clip: Clip, length: float) -> tuple[float, float]:
    """Start and end of the clip in seconds, within the video's `length`. Raises MediaError where nothing of it is left."""
    start = max(clip.start or 0.0, 0.0)
    end = length if clip.end is None else min(clip.end, length)
    if clip.end is not None and clip.end <= start:
        raise MediaError(f"{clip.path!r}: the span {start:g} s to {clip.end:g} s is empty")
    if start >= length > 0:
        raise MediaError(f"{clip.path!r}: the span begins at {start:g} s, but the video lasts {length:.3g} s")
    return start, end


def arrange(count: int, clip: Clip) -> Indices:
    """The order in which `count` sampled frames are shown under the clip's view.

    "shuffled" depends on the clip's seed and digest only, and is never the right order where there are two frames or more.
    """
    order = np.arange(count)
    if clip.view == "reversed":
        return order[::-1]
    if clip.view == "shuffled" and count > 1:
        generator = np.random.default_rng([clip.seed, int(clip.digest[:16], 16)])
        return _shuffle(generator.permutation, order)
    return order


def _shuffle(permute: Callable[[Indices], Indices], order: Indices) -> Indices:
    while True:
        shuffled = permute(order)
        if not np.array_equal(shuffled, order):
            return shuffled
