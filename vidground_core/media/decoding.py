"""From a file to sampled frames: PyAV, or decord where it is asked for and its frames can be trusted."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidground_core.errors import MediaError
from vidground_core.media.filmstrip import CORES, Filmstrip
from vidground_core.media.pyav import Image, Index, open_container, scan, shrink, upright
from vidground_core.media.pyav_reader import PyAVReader
from vidground_core.media.sampling import Indices, Times, choose, duration
from vidground_core.records import Clip

logger = logging.getLogger(__name__)

# Where decord 0.6 finds frames exactly. In HEVC and in open groups of pictures it is off by one after a skip (tests show it).
DECORD_EXACT = frozenset({"h264", "vp8", "vp9"})
_CHUNK_BYTES = 64 * 2**20
_told: set[str] = set()


@dataclass(frozen=True, slots=True)
class Decoded:
    """Frames as they lie in the file: `array` uint8 (T, H, W, 3), `seconds` (T,), `fps` sampled frames per second, the decoder used."""

    array: Image
    seconds: Times
    fps: float
    decoder: str


class DecordReader:
    """The frames of one video file by decord; raises whatever decord raises."""

    decoder = "decord"

    def __init__(self, index: Index, *, threads: int = 1) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._video: Any = decord.VideoReader(index.path, num_threads=threads)
        if len(self._video) != len(index.times):
            raise ValueError(f"it counts {len(self._video)} frames, the file's index {len(index.times)}")
        self._path = index.path

    def read(self, indices: Indices, *, pixels: int = 0) -> Image:
        """The frames at increasing `indices`, read a few at a time so that large videos fit."""
        strip = Filmstrip(self._path, len(indices), pixels)
        step, at = 1, 0
        while at < len(indices):
            batch: Image = self._video.get_batch(indices[at : at + step].tolist()).asnumpy()
            if batch.ndim != 4 or batch.shape[3] != 3:
                raise ValueError(f"it gives frames of shape {batch.shape[1:]}")
            for place, image in enumerate(batch, at):
                strip.put(place, image)
            at += step
            step = max(1, _CHUNK_BYTES // batch[0].nbytes)
        return strip.array


def decode_video(clip: Clip) -> Decoded:
    """The frames of a video clip in source order, sampled and shrunk. Raises MediaError with one line that names the file.

    PyAV reads them; with the environment variable VG_DECODER=decord decord does, where it may be trusted, and the log says where not.
    """
    index = scan(clip.path)
    indices, fps = choose(clip, index.times, duration(index.times, index.rate))
    with CORES.share() as threads:
        frames = _by_decord(clip, index, indices, threads) if os.environ.get("VG_DECODER") == "decord" else None
        decoder = "pyav" if frames is None else "decord"
        if frames is None:
            frames = PyAVReader(index, threads=threads).read(indices, pixels=clip.pixels)
    return Decoded(frames, index.times[indices], fps, decoder)


def _by_decord(clip: Clip, index: Index, indices: Indices, threads: int) -> Image | None:
    """The frames by decord, or None with the reason logged once a file."""
    reason = _distrusted(index)
    if not reason:
        try:
            return DecordReader(index, threads=threads).read(indices, pixels=clip.pixels)
        except ImportError:
            reason = "decord is not installed"
        except Exception as error:  # decord raises bare exceptions with C++ traces; PyAV's word decides
            reason = f"decord failed ({_first_cause(error)})"
    if clip.path not in _told:
        _told.add(clip.path)
        logger.info("%s: decoded by PyAV: %s", clip.path, reason)
    return None


def _distrusted(index: Index) -> str:
    if index.codec not in DECORD_EXACT:
        return f"decord is not known to find the frames of {index.codec} exactly"
    if index.streams > 1:
        return f"of {index.streams} picture streams decord may take another than FFmpeg calls best"
    return "" if index.closed else "decord does not find frames exactly in open groups of pictures"


def _first_cause(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rpartition("Check failed: ")[2][:120] if lines else type(error).__name__


def decode_image(clip: Clip) -> Decoded:
    """An image as a clip of one frame. Raises MediaError with one line that names the file."""
    import av

    with open_container(clip.path) as container:
        try:
            frame = next(container.decode(video=0), None)
        except av.FFmpegError as error:
            raise MediaError(f"{clip.path!r} cannot be decoded as an image: {error.strerror or error}") from error
        if frame is None:
            raise MediaError(f"{clip.path!r} holds no image")
        return Decoded(shrink(upright(frame), clip.pixels)[np.newaxis].copy(), np.zeros(1), 0.0, "pyav")
