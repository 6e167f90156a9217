"""Frames of a video by PyAV: from the key frame before each wanted one, leaving out pictures that no other refers to, on the free cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vidground_core.errors import MediaError
from vidground_core.media.filmstrip import Filmstrip
from vidground_core.media.pyav import Image, Index, open_container, pictures, reason, upright
from vidground_core.media.sampling import Indices

# Where a picture marked as not referred to may be left out without changing another: HEVC marks them by temporal layer only.
_SKIPPING = frozenset({"h264"})
# Decoding on through so few frames costs less than a jump, after which the decoder fills its queue again.
_NEAR = 4
# Fewer frames than this are not worth another thread, which opens the file once more.
_WORTH_A_THREAD = 48


class Damaged(Exception):
    """Decoding broke off; the text says after how many frames and why."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Wanted frames that are decoded in one go: `first` is the index of the frame to begin at, `jump` whether the file is not there yet."""

    first: int
    jump: bool
    places: dict[int, int]  # presentation time -> place in the strip
    cost: int  # frames from the first to the last wanted


class PyAVReader:
    """The frames of one video file by FFmpeg through PyAV, on at most `threads` threads."""

    decoder = "pyav"

    def __init__(self, index: Index, *, threads: int = 1) -> None:
        self.index = index
        self.path = index.path
        self.threads = threads

    def read(self, indices: Indices, *, pixels: int = 0) -> Image:
        """The frames at `indices` (increasing), upright, at most `pixels` pixels each: uint8 (T, H, W, 3).

        Raises MediaError where one of them cannot be decoded.
        """
        strip = Filmstrip(self.path, len(indices), pixels)
        if not self._quickly(indices, strip):
            self._strictly(indices, strip)
        return strip.array

    def _quickly(self, indices: Indices, strip: Filmstrip) -> bool:
        """Whether all frames were found on the short way. Where not, a file is damaged or has wrong times or key frame flags."""
        stretches = self._stretches(indices, list(range(len(indices))))
        if not stretches:
            return False
        parts = _parts(stretches, min(self.threads, max(1, sum(stretch.cost for stretch in stretches) // _WORTH_A_THREAD)))
        work = partial(self._fill, strip=strip, skip=self.index.codec in _SKIPPING, threads=self.threads // len(parts))
        try:
            if len(parts) == 1:
                work(parts[0])
            else:
                with ThreadPoolExecutor(len(parts), "vidground-decode") as pool:
                    list(pool.map(work, parts))
        except Damaged:
            return False
        return not strip.missing()

    def _strictly(self, indices: Indices, strip: Filmstrip) -> None:
        """Finds what is missing with each picture decoded, in order, so that an error names its frame; then by counting from the start."""
        try:
            for stretch in self._stretches(indices[strip.missing()], strip.missing()):
                self._fill([stretch], strip=strip)
            if strip.missing():
                self._count({int(indices[place]): place for place in strip.missing()}, strip)
        except Damaged as error:
            raise MediaError(f"{self.path!r}: {error}") from error

    def _stretches(self, indices: Indices, places: Sequence[int]) -> list[Stretch]:
        """The frames at `indices` by the key frame they hang on; none where the file has no presentation times."""
        stamps, keys = self.index.stamps, self.index.keys
        if stamps is None or keys is None or not len(keys):
            return []
        heads = np.searchsorted(stamps, keys)
        groups: list[tuple[int, list[int]]] = []
        at = 0
        for row, index in enumerate(indices):
            head = max(0, int(np.searchsorted(heads, index, side="right")) - 1)
            if not groups or heads[head] > at + _NEAR:
                groups.append((head, []))
            groups[-1][1].append(row)
            at = int(index)
        return [
            Stretch(
                first=int(heads[head]) if head else 0,
                jump=head > 0,
                places={int(stamps[indices[row]]): places[row] for row in rows},
                cost=int(indices[rows[-1]] - heads[head]) + 1,
            )
            for head, rows in groups
        ]

    def _fill(self, stretches: Sequence[Stretch], *, strip: Filmstrip, skip: bool = False, threads: int = 1) -> None:
        """Puts the frames of `stretches` into the strip; what is not found stays missing. Raises Damaged."""
        with open_container(self.path) as container:
            stream = pictures(container)
            stream.thread_type = "FRAME" if threads > 1 else "NONE"
            stream.codec_context.thread_count = max(1, threads)
            for stretch in stretches:
                wanted = dict(stretch.places)
                if stretch.jump:
                    container.seek(int(self.index.stamps[stretch.first]), stream=stream)  # type: ignore[index]
                for frame in self._decode(container, stream, stretch.first, only=set(wanted) if skip else None):
                    place = wanted.pop(frame.pts, None)
                    if place is not None:
                        strip.put(place, upright(frame))
                    if not wanted:
                        break

    def _count(self, wanted: dict[int, int], strip: Filmstrip) -> None:
        with open_container(self.path) as container:
            at = -1
            for at, frame in enumerate(self._decode(container, pictures(container), 0)):
                if at in wanted:
                    strip.put(wanted.pop(at), upright(frame))
                if not wanted:
                    return
            raise Damaged(f"only {at + 1} of {len(self.index.times)} frames can be decoded")

    def _decode(self, container: Any, stream: Any, first: int, *, only: set[int] | None = None) -> Iterator[Any]:
        """Frames from where the file is; with `only`, other pictures than those may be left out where none refers to them."""
        import av

        at = first
        try:
            for packet in container.demux(stream):
                if only is not None:
                    stream.codec_context.skip_frame = "DEFAULT" if packet.pts is None or packet.pts in only else "NONREF"
                for frame in packet.decode():
                    yield frame
                    at += 1
        except av.FFmpegError as error:
            raise Damaged(f"decoding breaks off at frame {at} of {len(self.index.times)}: {reason(error)}") from error


def _parts(stretches: list[Stretch], count: int) -> list[list[Stretch]]:
    """At most `count` runs of neighbouring stretches of about the same cost."""
    total, done = sum(stretch.cost for stretch in stretches), 0
    parts: list[list[Stretch]] = [[] for _ in range(count)]
    for stretch in stretches:
        parts[min(count - 1, (2 * done + stretch.cost) * count // (2 * total))].append(stretch)
        done += stretch.cost
    return [part for part in parts if part]
