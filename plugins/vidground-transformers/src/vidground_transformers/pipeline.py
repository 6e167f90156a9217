"""Keeps the model busy: one thread makes batches ready, one runs them, replies leave batch by batch."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from vidground_core import Ask, Reply

if TYPE_CHECKING:
    from vidground_transformers.running import Work

# How long a window that is not full waits for one more ask.
_GRACE_SECONDS = 0.005
# Batches made ready ahead of the one that runs; each may hold the pixels of its clips.
_AHEAD = 1

Prepare = Callable[[Sequence[Ask]], Iterable["Work"]]
Run = Callable[["Work"], Mapping[int, Reply]]
_Window = list[tuple[str, Ask]]


async def pipeline(prepare: Prepare, run: Run, asks: AsyncIterator[tuple[str, Ask]], *, window: int) -> AsyncGenerator[tuple[str, Reply]]:
    """A (token, reply) for each (token, ask). An exception of the feed, of `prepare` or of `run` ends the stream and is raised here."""
    threads = _Threads(prepare, run)
    feeder = asyncio.ensure_future(_feed(asks, threads, window))
    try:
        while (replies := await threads.done.get()) is not None:
            for answered in replies:
                yield answered
        threads.raise_trouble()
        await feeder
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        await asyncio.to_thread(threads.stop)


async def _feed(asks: AsyncIterator[tuple[str, Ask]], threads: _Threads, window: int) -> None:
    """Collects windows while the threads work on the last; a window that is not full is never waited for, only its first ask."""
    waiting: asyncio.Queue[tuple[str, Ask] | None] = asyncio.Queue(window)
    collector = asyncio.ensure_future(_collect(asks, waiting))
    try:
        ended = False
        while not ended:
            await threads.free.wait()
            taken, ended = await _take(waiting, window)
            if taken:
                threads.free.clear()
                threads.windows.put(taken)
        await collector
    finally:
        threads.windows.put(None)
        collector.cancel()
        await asyncio.gather(collector, return_exceptions=True)


async def _collect(asks: AsyncIterator[tuple[str, Ask]], waiting: asyncio.Queue[tuple[str, Ask] | None]) -> None:
    try:
        async for item in asks:
            await waiting.put(item)
    except Exception:
        # Not on cancellation, when nobody takes any more and a full queue would hold this for ever.
        await waiting.put(None)
        raise
    await waiting.put(None)


async def _take(waiting: asyncio.Queue[tuple[str, Ask] | None], window: int) -> tuple[_Window, bool]:
    taken: _Window = []
    while len(taken) < window:
        if taken and waiting.empty():
            await asyncio.sleep(_GRACE_SECONDS)
            if waiting.empty():
                break
        item = await waiting.get()
        if item is None:
            return taken, True
        taken.append(item)
    return taken, False


class _Threads:
    """The two threads. `free` is set while the first has no window, `done` gets each batch's replies, None at the end."""

    def __init__(self, prepare: Prepare, run: Run) -> None:
        self._prepare, self._run = prepare, run
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._trouble: BaseException | None = None
        self.windows: queue.SimpleQueue[_Window | None] = queue.SimpleQueue()
        self._ready: queue.Queue[tuple[_Window, Work] | None] = queue.Queue(_AHEAD)
        self.free = asyncio.Event()
        self.free.set()
        self.done: asyncio.Queue[list[tuple[str, Reply]] | None] = asyncio.Queue()
        self._encoding, self._answering = (
            threading.Thread(target=self._guarded, args=(part,), daemon=True) for part in (self._encode, self._answer)
        )
        self._encoding.start()
        self._answering.start()

    def raise_trouble(self) -> None:
        """Raises what ended a thread early."""
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        """Ends both after the batch that runs."""
        self._stopped.set()
        self.windows.put(None)
        # First room for the thread that waits to put, until it has ended: what is put meanwhile would take the room away again.
        while self._encoding.is_alive():
            with suppress(queue.Empty):
                self._ready.get_nowait()
            self._encoding.join(_GRACE_SECONDS)
        while self._answering.is_alive():
            with suppress(queue.Full):
                self._ready.put_nowait(None)
            self._answering.join(_GRACE_SECONDS)

    def _guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as error:
            self._trouble = self._trouble or error
            self._stopped.set()
            self._tell(self.done.put_nowait, None)
        self._tell(self.free.set)

    def _tell(self, call: Callable[..., object], *given: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *given)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._stopped.set()

    def _encode(self) -> None:
        for window in self._windows():
            for work in self._prepare([ask for _, ask in window]):
                if self._stopped.is_set():
                    return
                self._ready.put((window, work))
            self._tell(self.free.set)
        self._ready.put(None)

    def _windows(self) -> Iterator[_Window]:
        while not self._stopped.is_set() and (window := self.windows.get()) is not None:
            yield window

    def _answer(self) -> None:
        while not self._stopped.is_set() and (made := self._ready.get()) is not None:
            window, work = made
            replies = self._run(work)
            self._tell(self.done.put_nowait, [(window[index][0], reply) for index, reply in replies.items()])
        self._tell(self.done.put_nowait, None)
