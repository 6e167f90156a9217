"""A bounded store of decoded frames, shared by the threads of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
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

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0
