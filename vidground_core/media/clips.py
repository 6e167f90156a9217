"""From a clip to its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vidground_core.media.cache import FrameCache
from vidground_core.media.files import resolve
from vidground_core.media.sampling import arrange
from vidground_core.records import Clip

# Enough for some thousand small frames or about ten clips of 16 frames at 720p.
FRAMES = FrameCache(512 * 2**20)


@dataclass(frozen=True, slots=True)
class Frames:
    """The pixels that a clip shows; read-only, shared with the cache.

    `array` is uint8 (T, H, W, 3), RGB. `seconds` is (T,): when each frame is shown, from the beginning of the file; it always
    increases, so that a shuffled or reversed clip does not tell. `fps` is the number of sampled frames per second of source time
    (0 for an image). `decoder` is "decord" or "pyav".
    """

    array: NDArray[np.uint8]
    seconds: NDArray[np.float64]
    fps: float
    decoder: str


def load_clip(clip: Clip, *, cache: FrameCache | None = None) -> Frames:
    """Decodes what the clip asks for: sampled frames of its span, at most `pixels` a frame, in the order of its view.

    "blank" is black, in the shape and number of the ordered clip. Frames come from `cache` (the process-wide one by default) where
    they are there: all views of a clip but "single" share one decoded copy. Raises MediaError with one line that names the file.
    """
    cache = FRAMES if cache is None else cache
    clip = resolve(clip)
    decoded = clip if clip.view == "single" else replace(clip, view="ordered", seed=0)
    frames = cache.get_or_make(decoded, partial(_decode, decoded))
    if clip.view == "blank":
        return replace(frames, array=_sealed(np.zeros_like(frames.array)))
    order = arrange(len(frames.array), clip)
    if np.array_equal(order, np.arange(len(order))):
        return frames
    return replace(frames, array=_sealed(frames.array[order]))


def _decode(clip: Clip) -> Frames:
    from vidground_core.media.decoding import decode_image, decode_video

    decoded = decode_image(clip) if clip.type == "image" else decode_video(clip)
    return Frames(_sealed(decoded.array), decoded.seconds, decoded.fps, decoded.decoder)


def _sealed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    array.setflags(write=False)
    return array
