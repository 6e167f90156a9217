"""Feeds asks to a running vLLM as they come and hands back replies as they complete: no batch waits for its slowest answer."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from vidground_core import Ask, EngineError, Reply
from vidground_vllm.asking import Request, Work

# Threads that decode clips and encode prompts ahead of the model.
_ENCODERS = 4
# How often it is looked whether vLLM still runs, while nothing comes from it.
_LOOK_SECONDS = 1.0
_GATHER_SECONDS = 0.02


class Core(Protocol):
    """What of vLLM's LLMEngine is used; all calls come from one thread."""

    def add(self, name: str, request: Request) -> None:
        """Takes a request. Raises ValueError for one that can never be answered, such as a prompt that is too long."""

    def step(self) -> list[Any]:
        """Waits for the next finished requests: vLLM's RequestOutputs, their `request_id` being the `name`."""

    def abort(self, names: list[str]) -> None:
        """Forgets requests."""

    @property
    def alive(self) -> bool:
        """Whether vLLM's processes run; a `step` waits for ever for those that were killed."""

    def why_dead(self) -> str:
        """What vLLM said of its end; empty where it said nothing."""


class Stream:
    """One use of a running vLLM. `encode` makes an ask's work, in a thread of a few; it raises MediaError or ValueError for a bad ask."""

    def __init__(self, core: Core, encode: Callable[[Ask], Work], *, in_flight: int) -> None:
        self._core, self._encode = core, encode
        self._room = asyncio.Semaphore(in_flight)
        self._inbox: queue.SimpleQueue[tuple[str, Work | Reply] | None] = queue.SimpleQueue()
        self._outbox: asyncio.Queue[list[tuple[str, Reply]] | BaseException | None] = asyncio.Queue()
        self._stopped = threading.Event()
        self._taken = 0

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """A reply for each ask, each as it completes. Raises EngineError where vLLM dies."""
        loop = asyncio.get_running_loop()

        def deliver(item: list[tuple[str, Reply]] | BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._outbox.put_nowait, item)

        worker = threading.Thread(target=self._work, args=(deliver,), name="vllm", daemon=True)
        worker.start()
        encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="vllm-encode")
        collector = asyncio.ensure_future(self._collect(asks, encoders))
        try:
            while (item := await self._next()) is not None:
                if isinstance(item, BaseException):
                    raise item
                for answered in item:
                    self._room.release()
                    yield answered
            await collector
        finally:
            self._stopped.set()
            collector.cancel()
            await asyncio.gather(collector, return_exceptions=True)
            encoders.shutdown(wait=False, cancel_futures=True)
            self._inbox.put(None)
            # A thread that waits for a dead vLLM is left behind.
            await asyncio.to_thread(worker.join, None if self._core.alive else _LOOK_SECONDS)

    async def _next(self) -> list[tuple[str, Reply]] | BaseException | None:
        while True:
            try:
                return self._outbox.get_nowait() if not self._outbox.empty() else await asyncio.wait_for(self._outbox.get(), _LOOK_SECONDS)
            except TimeoutError:
                if not self._core.alive and self._outbox.empty():
                    return _dead(None, self._core.why_dead())

    async def _collect(self, asks: AsyncIterator[tuple[str, Ask]], encoders: ThreadPoolExecutor) -> None:
        try:
            async for token, ask in asks:
                await self._room.acquire()
                self._taken += 1
                encoders.submit(self._encode, ask).add_done_callback(partial(self._encoded, token))
        finally:
            self._inbox.put(None)

    def _encoded(self, token: str, done: Future[Work]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        # Besides the errors named, whatever a checkpoint's chat template raises for the messages at hand.
        self._inbox.put((token, done.result() if error is None else Reply("failed", error=_one_line(error))))

    def _work(self, deliver: Callable[[list[tuple[str, Reply]] | BaseException | None], None]) -> None:
        flight = _Flight(self._core)
        answered, ended = 0, False
        try:
            while not (ended and answered == self._taken) and not self._stopped.is_set():
                replies: list[tuple[str, Reply]] = []
                idle = not flight.busy
                while not self._inbox.empty() or not (flight.busy or replies or (ended and answered == self._taken)):
                    item = self._inbox.get()
                    if idle and not ended:
                        # The first step takes those along that are being encoded; what comes in a step waits for its end.
                        idle = False
                        time.sleep(_GATHER_SECONDS)
                    if item is None:
                        ended = True
                        if self._stopped.is_set():
                            break
                    else:
                        replies += flight.begin(*item)
                if flight.busy and not self._stopped.is_set():
                    replies += flight.step()
                answered += len(replies)
                if replies:
                    deliver(replies)
            deliver(None)
        except Exception as error:
            deliver(_dead(error, self._core.why_dead()))
        finally:
            with suppress(Exception):  # vLLM may be dead
                flight.abort()


class _Flight:
    """The asks that vLLM holds, by the names of their requests."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open: dict[str, tuple[str, int]] = {}
        self._works: dict[str, tuple[Work, set[str]]] = {}
        self._count = 0

    @property
    def busy(self) -> bool:
        return bool(self._open)

    def begin(self, token: str, work: Work | Reply) -> list[tuple[str, Reply]]:
        if isinstance(work, Reply):
            return [(token, work)]
        self._works[token] = (work, set())
        return self._go_on(token, work.begin())

    def step(self) -> list[tuple[str, Reply]]:
        replies: list[tuple[str, Reply]] = []
        for output in self._core.step():
            if output.finished and output.request_id in self._open:
                token, part = self._open.pop(output.request_id)
                work, names = self._works[token]
                names.discard(output.request_id)
                replies += self._go_on(token, work.take(part, output))
        return replies

    def abort(self) -> None:
        self._core.abort(list(self._open))

    def _go_on(self, token: str, following: list[Request] | Reply) -> list[tuple[str, Reply]]:
        _, names = self._works[token]
        if not isinstance(following, Reply):
            for request in following:
                self._count += 1
                name = f"{token}-{self._count}"
                try:
                    self._core.add(name, request)
                except ValueError as error:
                    following = Reply("failed", error=_one_line(error))
                    break
                self._open[name] = (token, request.part)
                names.add(name)
        if not isinstance(following, Reply):
            return []
        if names:
            self._core.abort(list(names))
        for name in names:
            del self._open[name]
        del self._works[token]
        return [(token, following)]


def _dead(error: Exception | None, cause: str) -> EngineError:
    cause = cause or ("its process was killed" if error is None else f"{type(error).__name__}: {_one_line(error)}")
    return EngineError(f"the engine 'vllm' is dead: {cause}; replies so far are kept, the same command goes on from there")


def _one_line(error: BaseException) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first[:300].rstrip(".")
