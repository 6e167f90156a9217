"""One worker's place: whoever sits in it is started, fed, listened to, and replaced when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vidground_core import EngineError, Reply
from vidground_ray.backlog import Item
from vidground_ray.cluster import Cluster, WorkerLost, call

if TYPE_CHECKING:
    from vidground_ray.pool import Pool


class Seat:
    """`held` are the asks its worker has by number; `alone` says that they are suspects, and that it is to get nothing else."""

    def __init__(self, cluster: Cluster, recipe: Mapping[str, Any]) -> None:
        self._cluster, self._recipe = cluster, dict(recipe)
        self.actor: Any = None
        self.placed = self.ready = self.alone = False
        self.node, self.pid = "", 0
        self.held: dict[int, Item] = {}
        self.wake = asyncio.Event()

    async def serve(self, pool: Pool) -> None:
        """Works until cancelled. Raises EngineError where the engine cannot start or is of no use any more."""
        while True:
            try:
                if not self.ready:
                    await self._start()
                    pool.started()
                await self._work(pool)
            except WorkerLost as lost:
                reason, started = f"{self._who()}: {lost}", self.ready
                pool.lost(WorkerLost(reason, blameless=lost.blameless), self.leave(), started=started)

    def leave(self) -> list[Item]:
        """Ends the worker; returns the asks it held."""
        if self.actor is not None:
            self._cluster.kill(self.actor)
        items = list(self.held.values())
        self.held.clear()
        self.actor, self.placed, self.ready, self.alone = None, False, False, False
        return items

    async def _start(self) -> None:
        if self.actor is None:
            self.actor = self._cluster.launch()
        found = await call(self.actor.hello.remote())
        self.node, self.pid, self.placed = found["node"], found["pid"], True
        problem = await call(self.actor.start.remote(self._recipe))
        if problem:
            raise EngineError(problem)
        self.ready = True

    async def _work(self, pool: Pool) -> None:
        while True:
            taking = asyncio.ensure_future(call(self.actor.take.remote()))
            taking.add_done_callback(self._heard)
            try:
                while not taking.done():
                    self.wake.clear()
                    self._give(pool)
                    await self.wake.wait()
            finally:
                if not taking.done():
                    taking.cancel()
            self._receive(pool, *taking.result())

    def _heard(self, taking: asyncio.Future[Any]) -> None:
        if not taking.cancelled():
            taking.exception()  # seen, also where nobody waits for it any more
        self.wake.set()

    def _who(self) -> str:
        return f"worker {self.pid} on the node {self.node}" if self.placed else "a worker without a place yet"

    def _give(self, pool: Pool) -> None:
        while items := pool.share(self):
            self.held |= {item.number: item for item in items}
            self.actor.give.remote([(item.number, item.ask) for item in items])

    def _receive(self, pool: Pool, replies: list[tuple[int, Reply]], trouble: tuple[bool, str] | None) -> None:
        for number, reply in replies:
            item = self.held.pop(number, None)
            if item is None:
                raise EngineError(f"executor 'ray': {self._who()} answered an ask that it did not hold")
            pool.settle(item, reply)
        if trouble is not None:
            for_good, text = trouble
            if for_good:
                raise EngineError(f"{text}; replies so far are kept")
            raise WorkerLost(text)
