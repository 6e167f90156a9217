"""The frames of a clip, filled in place, and the cores that may decode them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from vidground_core.errors import MediaError

if TYPE_CHECKING:
    from vidground_core.media.pyav import Image


class Filmstrip:
    """`count` frames of at most `pixels` pixels, put in any order by any thread; all have the size of the first that came."""

    def __init__(self, path: str, count: int, pixels: int) -> None:
        self._path = path
        self._pixels = pixels
        self._array: Image | None = None
        self._missing = set(range(count))
        self._count = count
        self._lock = threading.Lock()

    @property
    def array(self) -> Image:
        """uint8 (T, H, W, 3); only when nothing is missing."""
        if self._array is None or self._missing:
            raise RuntimeError(f"{len(self._missing)} of {self._count} frames are missing")
        return self._array

    def missing(self) -> list[int]:
        """The places without a frame, increasing."""
        return sorted(self._missing)

    def put(self, place: int, image: Image) -> None:
        """Shrinks `image`, uint8 (H, W, 3), and copies it to its place. Raises MediaError where its size is not that of the others."""
        from vidground_core.media.pyav import shrink

        image = shrink(image, self._pixels)
        with self._lock:
            if self._array is None:
                self._array = np.empty((self._count, *image.shape), np.uint8)
        if image.shape != self._array.shape[1:]:
            sizes = " and ".join(f"{width} × {height}" for height, width in (self._array.shape[1:3], image.shape[:2]))
            raise MediaError(f"{self._path!r} changes its size: the frames wanted are {sizes}")
        self._array[place] = image
        with self._lock:
            self._missing.discard(place)


class _Cores:
    """Shares the cores among the clips that are decoded at the same time in this process."""

    def __init__(self) -> None:
        self._decoding = 0
        self._lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator[int]:
        """The number of threads for one more clip while the context lasts: the cores by the number of clips under way, at least one."""
        with self._lock:
            self._decoding += 1
            threads = max(1, cores() // self._decoding)
        try:
            yield threads
        finally:
            with self._lock:
                self._decoding -= 1


def cores() -> int:
    """The cores that this process may use; OMP_NUM_THREADS bounds it, which Ray and others set for what is one of many workers."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bound = os.environ.get("OMP_NUM_THREADS", "")
    return min(there, max(1, int(bound))) if bound.isdigit() else there


CORES = _Cores()
