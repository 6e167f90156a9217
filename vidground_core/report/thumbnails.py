"""A few small frames of as many videos and images as a byte budget allows."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass

from vidground_core.errors import MediaError
from vidground_core.records import Clip, Media, Question

FRAMES = 4
PIXELS = 160 * 120
BUDGET_BYTES = 3 * 10**6
MEDIA_TRIED = 600
SECONDS = 20.0
_QUALITY = 55


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Frames of a medium as data: addresses of WebP pictures, in order of time."""

    media: Media
    frames: tuple[str, ...]


class MediaSample:
    """Keeps the `size` different media whose paths have the smallest digests: the same data show the same frames."""

    def __init__(self, size: int = MEDIA_TRIED) -> None:
        self.size = size
        self._met: set[int] = set()
        self._held: list[tuple[int, str, Media]] = []

    @property
    def met(self) -> int:
        """How many different media there were."""
        return len(self._met)

    def add(self, question: Question) -> None:
        """Notes the first medium of a question, which is the one shown."""
        for medium in question.media[:1]:
            key = f"{medium.path}\n{medium.type}\n{medium.start}\n{medium.end}"
            order = -int.from_bytes(hashlib.blake2b(key.encode(errors="replace"), digest_size=8).digest())
            if order in self._met:
                continue
            self._met.add(order)
            if len(self._held) < self.size:
                heapq.heappush(self._held, (order, key, medium))
            elif order > self._held[0][0]:
                heapq.heapreplace(self._held, (order, key, medium))

    def media(self) -> tuple[Media, ...]:
        """The media kept, those with the smallest digests first."""
        return tuple(medium for *_, medium in sorted(self._held, reverse=True, key=lambda item: item[0]))


def thumbnails(media: tuple[Media, ...], *, budget: int = BUDGET_BYTES, seconds: float = SECONDS) -> Iterator[Thumbnails]:
    """Frames of the media that can be read, until `budget` bytes are used or `seconds` have passed; the others are passed over."""
    started, used = time.monotonic(), 0
    for medium in media:
        if time.monotonic() - started > seconds:
            return
        try:
            frames = _frames(medium)
        except (MediaError, OSError, ValueError):
            continue
        size = sum(map(len, frames))
        if used + size > budget:
            return
        used += size
        yield Thumbnails(medium, frames)


def _frames(medium: Media) -> tuple[str, ...]:
    from PIL import Image

    from vidground_core.media.cache import FrameCache
    from vidground_core.media.clips import load_clip

    # The digest only names the clip in a cache that holds nothing: reading gigabytes to name four frames would be waste.
    clip = Clip(medium.path, f"thumbnail {medium.path}", medium.type, medium.start, medium.end, FRAMES, pixels=PIXELS)
    shown: list[str] = []
    for array in load_clip(clip, cache=FrameCache(1)).array:
        out = io.BytesIO()
        Image.fromarray(array).save(out, "WEBP", quality=_QUALITY, method=2)
        shown.append(f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}")
    return tuple(shown)
