"""The workers of one engine, and the streams of asks that they answer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

from vidground_core import Ask, EngineError, Reply
from vidground_ray.backlog import Backlog, Item
from vidground_ray.cluster import Cluster, WorkerLost
from vidground_ray.config import RayConfig
from vidground_ray.seat import Seat

_log = logging.getLogger(__name__)
_FAILED_STARTS = 3
_WARN_SECONDS = 30
_TICK_SECONDS = 1.0

Answered = tuple[str, Reply]


class Pool:
    """Workers that outlive the streams: the next detector finds its engine loaded. Several streams may be open at a time, in one loop."""

    def __init__(self, cluster: Cluster, recipe: Mapping[str, Any], config: RayConfig, *, in_flight: int) -> None:
        self._cluster, self._config, self._in_flight = cluster, config, in_flight
        self._seats = [Seat(cluster, recipe) for _ in range(config.most)]
        self._backlog = Backlog(config.attempts)
        self._numbers = count()
        self._spent: dict[Ask, Reply] = {}
        self._streams: list[_Stream] = []
        self._tasks: list[asyncio.Future[None]] = []
        self._failed_starts = self._deaths = 0
        self._complete = False
        self.room = asyncio.Semaphore(0)

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[Answered]:
        """A (token, reply) for each (token, ask), as each comes. Raises EngineError."""
        stream = _Stream(self)
        self._open(stream)
        feeding = asyncio.ensure_future(stream.feed(asks))
        try:
            while (found := await stream.replies.get()) is not None:
                if isinstance(found, Exception):
                    raise found
                self.room.release()
                yield found
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await self._close(stream)

    def submit(self, ask: Ask, stream: _Stream, token: str) -> None:
        """Queues an ask; one whose attempts were used up before in this run keeps its failure."""
        if (known := self._spent.get(ask)) is not None:
            stream.settle(token, known)
            return
        self._backlog.add(Item(next(self._numbers), ask, lambda reply: stream.settle(token, reply)))
        self._wake()

    def share(self, seat: Seat) -> list[Item]:
        """What a worker is given next: a group of suspects if it holds nothing, else its fair share of the fresh asks."""
        if not len(self._backlog) or len(seat.held) >= self._in_flight or (seat.alone and seat.held):
            return []
        seat.alone = False
        if not seat.held and (suspects := self._backlog.suspects()):
            seat.alone = True
            return suspects
        at_work = [other for other in self._seats if other.ready and not other.alone]
        # A worker that is about to start has its share kept, or a short run would be done by the first.
        fair = math.ceil((self._backlog.fresh + sum(len(other.held) for other in at_work)) / max(len(at_work), self._config.least))
        most = min(self._config.batch, self._in_flight - len(seat.held), fair - len(seat.held))
        return self._backlog.take(most) if most > 0 else []

    def settle(self, item: Item, reply: Reply) -> None:
        """A reply came back."""
        self._deaths = 0
        item.settle(reply)

    def started(self) -> None:
        """A worker's engine is up."""
        self._failed_starts = 0
        self._wake()

    def lost(self, lost: WorkerLost, items: list[Item], *, started: bool) -> None:
        """A worker died and held `items`. Raises EngineError where one after the other dies."""
        if lost.blameless:
            self._backlog.give_back(items)
        else:
            self._count_death(str(lost), started=started)
            for item in self._backlog.bury(items):
                error = f"its worker died {item.deaths} times, the last time with this ask alone; {lost}"
                self._spent[item.ask] = reply = Reply("failed", error=error)
                item.settle(reply)
        self._wake()

    def close(self) -> None:
        """Ends all workers."""
        self._cluster.dismiss([seat.actor for seat in self._seats if seat.ready])
        for seat in self._seats:
            seat.leave()

    def _count_death(self, reason: str, *, started: bool) -> None:
        self._deaths += 1
        self._failed_starts += not started
        if self._failed_starts >= _FAILED_STARTS:
            raise EngineError(f"executor 'ray': {_FAILED_STARTS} workers in a row died while the engine started; the last said: {reason}")
        if self._deaths >= self._config.deaths:
            raise EngineError(
                f"executor 'ray': {self._deaths} workers in a row died without a reply between (option deaths = {self._config.deaths}); "
                f"replies so far are kept; the last said: {reason}"
            )

    def _open(self, stream: _Stream) -> None:
        self._streams.append(stream)
        if len(self._streams) == 1:
            self.room = asyncio.Semaphore(self._in_flight * self._config.most)
            for seat in self._seats:
                seat.wake = asyncio.Event()
            self._tasks = [asyncio.ensure_future(self._guarded(seat.serve(self))) for seat in self._seats]
            self._tasks.append(asyncio.ensure_future(self._guarded(self._watch())))

    async def _close(self, stream: _Stream) -> None:
        self._streams.remove(stream)
        if self._streams:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._backlog.clear()
        for seat in self._seats:
            if seat.held:  # given up in the middle: nobody waits for these replies
                seat.leave()

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except Exception as error:
            for stream in self._streams:
                stream.replies.put_nowait(error)

    async def _watch(self) -> None:
        """Says so when the cluster has no room for the workers, and ends the run when it stays so."""
        waited = 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            placed = sum(seat.placed for seat in self._seats)
            self._complete = self._complete or placed >= self._config.least
            if placed and self._complete:
                waited = 0.0
                continue
            waited += _TICK_SECONDS
            if waited == _WARN_SECONDS or waited >= self._config.start_timeout:
                needs = f"num_cpus = {self._config.num_cpus:g}, num_gpus = {self._config.num_gpus:g} each"
                room = await asyncio.to_thread(self._cluster.room)
                text = f"{placed} of {self._config.least} workers have found room on the cluster ({needs}; {room})"
                if waited >= self._config.start_timeout:
                    raise EngineError(
                        f"executor 'ray': after {waited:.0f} s (option start_timeout) only {text}; replies so far are kept; "
                        "ask for fewer workers or less for each"
                    )
                _log.warning("%s; waiting", text)

    def _wake(self) -> None:
        for seat in self._seats:
            seat.wake.set()


class _Stream:
    """One call of `answer`: its asks on the way in, its replies on the way out; None ends it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.replies: asyncio.Queue[Answered | Exception | None] = asyncio.Queue()
        self._under_way = 0
        self._fed = False

    async def feed(self, asks: AsyncIterator[tuple[str, Ask]]) -> None:
        """Queues asks while there is room for them."""
        try:
            async for token, ask in asks:
                await self._pool.room.acquire()
                self._under_way += 1
                self._pool.submit(ask, self, token)
        except Exception as error:
            self.replies.put_nowait(error)
        self._fed = True
        self._end()

    def settle(self, token: str, reply: Reply) -> None:
        """Hands out a reply."""
        self._under_way -= 1
        self.replies.put_nowait((token, reply))
        self._end()

    def _end(self) -> None:
        if self._fed and not self._under_way:
            self.replies.put_nowait(None)
