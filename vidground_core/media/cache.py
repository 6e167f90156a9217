"""A bounded store of decoded frames, shared by the threads of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidground_core.media.clips import Frames


class FrameCache:
    """Keeps the frames used last, up to `max_bytes` of pixels; thread-safe. A single clip larger than that is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._kept: OrderedDict[Hashable, Frames] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, Future[Frames]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Frames | None:
        """The frames under `key`, or None; being asked for makes them the last to go."""
        with self._lock:
            frames = self._kept.get(key)
            if frames is not None:
                self._kept.move_to_end(key)
            return frames

    def put(self, key: Hashable, frames: Frames) -> None:
        """Keeps `frames`, dropping those unused for longest."""
        with self._lock:
            before = self._kept.pop(key, None)
            self.bytes -= before.array.nbytes if before is not None else 0
            if frames.array.nbytes > self.max_bytes:
                return
            self._kept[key] = frames
            self.bytes += frames.array.nbytes
            while self.bytes > self.max_bytes:
                _, dropped = self._kept.popitem(last=False)
                self.bytes -= dropped.array.nbytes

    def get_or_make(self, key: Hashable, make: Callable[[], Frames]) -> Frames:
        """The frames under `key`, made by `make` where they are not there; what `make` raises is raised.

        Threads that want the same at once get the frames, or the error, of the one that makes them: rotations of a question come together.
        """
        frames = self.get(key)
        if frames is not None:
            return frames
        with self._lock:
            making = self._making.get(key)
            if making is None:
                mine = self._making[key] = Future()
        if making is not None:
            return making.result()
        try:
            frames = make()
            self.put(key, frames)
            mine.set_result(frames)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._making[key]
        return frames

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0
