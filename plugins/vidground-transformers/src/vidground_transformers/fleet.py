"""Several devices, a process each: asks and replies travel, every process decodes and batches its own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from vidground_core import Ask, EngineError, Reply

logger = logging.getLogger(__name__)

# Windows that a process holds: one it works on, one that is ready for it.
_WINDOWS = 2
# An ask that was with so many processes when they died is not given to another.
_DEATHS = 2
_END_SECONDS = 5.0

_Event = tuple["Worker", str, Any]


class Worker:
    """One process and what it holds. `on_event(worker, what, value)` is called in a thread of its own: ready, reply, trouble, dead."""

    def __init__(self, device: str, settings: dict[str, Any], *, threads: int | None, on_event: Callable[[_Event], None]) -> None:
        self.device = device
        self.held: dict[tuple[int, str], Ask] = {}
        self.room = 0
        self.productive = False
        self.trouble = ""
        ours, theirs = socket.socketpair()
        environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        program = [sys.executable, "-m", "vidground_transformers.worker", str(theirs.fileno())]
        self.process = subprocess.Popen(
            program, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
        )
        theirs.close()
        self._link = Connection(ours.detach())
        self._link.send(settings | {"device": device, "devices": ()})
        self._on_event = on_event
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                what, value = self._link.recv()
                self._on_event((self, what, value))
        self._on_event((self, "dead", self.process.wait()))

    def give(self, key: tuple[int, str], ask: Ask) -> None:
        """Hands it an ask; one that cannot be handed over stays held, and comes back when the process is found dead."""
        self.held[key] = ask
        with suppress(OSError):
            self._link.send((key, ask))

    def end(self) -> None:
        """Asks it to end."""
        with suppress(OSError):
            self._link.send(None)

    def wait(self) -> None:
        """Waits for its end, and makes it end where it does not."""
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._link.close()


@dataclass
class Fleet:
    """The processes of an engine. A process that dies after it has answered something is started anew, once for each such death.

    The asks it held go to another; an ask that two processes held when they died is a failed reply. With no process left, and none
    starting, the engine is dead.
    """

    devices: Sequence[str]
    settings: dict[str, Any]
    can: frozenset[str] = frozenset()
    _workers: list[Worker] = field(default_factory=list)
    _deaths: dict[str, int] = field(default_factory=dict)
    _session: int = 0
    _events: asyncio.Queue[_Event] | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts all and waits until each is ready. Raises EngineError with the first one's reason where one cannot load."""
        asyncio.run(self._starting())

    async def _starting(self) -> None:
        events = self._listen()
        self._workers = [self._started(device) for device in self.devices]
        try:
            while any(not worker.room for worker in self._workers):
                worker, what, value = await events.get()
                if what == "dead":
                    raise EngineError(
                        worker.trouble or f"the process on {worker.device!r} ended with {_how(value)} while it loaded the model"
                    )
                self._note(worker, what, value)
        except BaseException:
            await asyncio.to_thread(self.close)
            raise
        finally:
            self._loop = None

    def _started(self, device: str) -> Worker:
        shared = sum(other.startswith("cpu") for other in self.devices)
        alone = "OMP_NUM_THREADS" in os.environ or not device.startswith("cpu")
        threads = None if alone else max(1, (os.cpu_count() or 1) // shared)
        return Worker(device, self.settings, threads=threads, on_event=self._post)

    def _listen(self) -> asyncio.Queue[_Event]:
        self._events, self._loop = asyncio.Queue(), asyncio.get_running_loop()
        return self._events

    def _post(self, event: _Event) -> None:
        # Noted here, in the process's own thread: one may become ready while no stream listens.
        self._note(*event)
        loop, events = self._loop, self._events
        if loop is not None and events is not None:
            # A loop that has closed meanwhile: the next stream finds out who is dead by itself.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

    def _note(self, worker: Worker, what: str, value: Any) -> None:
        if what == "ready":
            window, self.can = value
            worker.room = _WINDOWS * window
        elif what == "trouble":
            worker.trouble = value

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncGenerator[tuple[str, Reply]]:
        """A (token, reply) for each (token, ask). Raises EngineError when no process is left."""
        events = self._listen()
        self._session += 1
        for worker in self._workers:
            if worker.process.poll() is not None:
                events.put_nowait((worker, "dead", worker.process.returncode))
        stream = _Stream(self, self._session, asks)
        feeder = asyncio.ensure_future(stream.feed(lambda: events.put_nowait((self._workers[0], "fed", None))))
        try:
            while not (feeder.done() and stream.answered):
                worker, what, value = await events.get()
                for replied in stream.take(worker, what, value):
                    yield replied
                stream.hand_out()
            await feeder
        finally:
            self._loop = None
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)

    def bury(self, worker: Worker, code: int, *, lost: int) -> None:
        """Takes a dead process out and starts another in its place, where it had answered anything. Raises EngineError without any left."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        why = worker.trouble or f"it ended with {_how(code)}"
        logger.warning("the process on %r is gone: %s; %d asks that it held go elsewhere", worker.device, why, lost)
        if worker.productive:
            self._workers.append(self._started(worker.device))
        if not self._workers:
            raise EngineError(f"no process of the engine 'transformers' is left; the last was on {worker.device!r}: {why}")

    @property
    def free(self) -> list[Worker]:
        """Processes that can take an ask, the least busy first."""
        return sorted((worker for worker in self._workers if len(worker.held) < worker.room), key=lambda worker: len(worker.held))

    def died_with(self, token: str) -> int:
        """How many processes died with this ask."""
        return self._deaths.get(token, 0)

    def count_death(self, token: str) -> None:
        """One more process died with this ask."""
        self._deaths[token] = self.died_with(token) + 1

    def forgive(self, token: str) -> None:
        """Of an ask that is answered nothing is held against it, and one that failed may be asked again: most die of another's cause."""
        self._deaths.pop(token, None)

    def close(self) -> None:
        """Ends all processes."""
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.wait()
        self._workers = []


class _Stream:
    """One call of `answer`: asks wait here while every process has its fill."""

    def __init__(self, fleet: Fleet, session: int, asks: AsyncIterator[tuple[str, Ask]]) -> None:
        self._fleet, self._session, self._asks = fleet, session, asks
        self._waiting: dict[str, Ask] = {}
        self._open = 0
        self._room = asyncio.Event()

    @property
    def answered(self) -> bool:
        return self._open == 0

    async def feed(self, wake: Callable[[], None]) -> None:
        """Takes asks as they can be handed out; never more than one that cannot."""
        try:
            async for token, ask in self._asks:
                self._open += 1
                self._waiting[token] = ask
                self.hand_out()
                wake()
                while self._waiting:
                    self._room.clear()
                    await self._room.wait()
        finally:
            wake()

    def hand_out(self) -> None:
        while self._waiting and (free := self._fleet.free):
            token = next(iter(self._waiting))
            if self._fleet.died_with(token) >= _DEATHS:
                return
            free[0].give((self._session, token), self._waiting.pop(token))
        if not self._waiting:
            self._room.set()

    def take(self, worker: Worker, what: str, value: Any) -> list[tuple[str, Reply]]:
        """What can be said to the caller after this event."""
        replies: list[tuple[str, Reply]] = []
        if what == "reply":
            worker.productive = True
            (session, token), reply = value
            if worker.held.pop((session, token), None) is not None and session == self._session:
                self._fleet.forgive(token)
                replies.append((token, reply))
        elif what == "dead":
            lost = self._take_back(worker)
            self._fleet.bury(worker, value, lost=lost)
        for token in [token for token in self._waiting if self._fleet.died_with(token) >= _DEATHS]:
            del self._waiting[token]
            self._fleet.forgive(token)
            replies.append((token, Reply("failed", error=f"{_DEATHS} processes that held this ask died, the last on {worker.device!r}")))
        self._open -= len(replies)
        return replies

    def _take_back(self, worker: Worker) -> int:
        for (session, token), ask in worker.held.items():
            self._fleet.count_death(token)
            if session == self._session:
                self._waiting[token] = ask
        lost = len(worker.held)
        worker.held = {}
        return lost


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
