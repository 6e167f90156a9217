"""Clips of the coming steps, decoded and processed in threads while the current step runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from vidground_core import Clip

if TYPE_CHECKING:
    from vidground_trl.store import Encoded, Key


class Prefetcher:
    """Runs `work` on expected clips in `threads` threads; one thread outside them expects and takes.

    What is ready waits in at most `max_bytes`: no clip is begun where one as large as the largest so far would not fit, so that at most
    the first of each thread lies beyond. Nothing is decided here but when work is done: results are those of `work`.
    """

    def __init__(self, work: Callable[[Clip], Encoded], *, threads: int, max_bytes: int) -> None:
        self._work, self._threads, self._max_bytes = work, threads, max_bytes
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
        self._lock = threading.RLock()  # a callback of work that is done already runs where it is added
        self._waiting: dict[Key, Clip] = {}
        self._started: dict[Key, Future[Encoded]] = {}
        self._largest = 0
        self._closed = False

    def expect(self, clips: Mapping[Key, Clip]) -> None:
        """These clips are wanted next, in their order, and no others."""
        with self._lock:
            for key in [key for key, future in self._started.items() if key not in clips and future.done()]:
                del self._started[key]
            self._waiting = {key: clip for key, clip in clips.items() if key not in self._started}
            self._start()

    def take(self, key: Key) -> Encoded | None:
        """The result for `key`, waited for where it is in work; None where it is not begun, which it will not be any more.

        Raises what the work raised.
        """
        with self._lock:
            self._waiting.pop(key, None)
            future = self._started.get(key)
        if future is None:
            return None
        try:
            return future.result()
        finally:
            with self._lock:
                del self._started[key]
                self._start()

    def close(self) -> None:
        """Begins nothing more and returns once the threads have ended; each finishes the clip it is at."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def held(self) -> int:
        """Bytes of results that wait."""
        with self._lock:
            done = [future for future in self._started.values() if future.done() and future.exception() is None]
            return sum(future.result().size for future in done)

    def _start(self) -> None:
        while self._waiting and not self._closed:
            running = sum(not future.done() for future in self._started.values())
            if running >= self._threads or self.held + (running + 1) * self._largest > self._max_bytes:
                return
            key = next(iter(self._waiting))
            future = self._started[key] = self._pool.submit(self._work, self._waiting.pop(key))
            future.add_done_callback(self._done)

    def _done(self, future: Future[Encoded]) -> None:
        with self._lock:
            if not future.cancelled() and future.exception() is None:
                self._largest = max(self._largest, future.result().size)
            self._start()
