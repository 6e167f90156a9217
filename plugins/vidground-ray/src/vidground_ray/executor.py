"""The executor: joins a cluster, has workers rebuild the engine, streams asks to them and their replies back."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any, ClassVar

from vidground_core import Ask, ConfigError, Engine, EngineConfig, EngineError, Executor, Reply, load_registry, nearest
from vidground_ray.cluster import Cluster
from vidground_ray.config import RayConfig
from vidground_ray.pool import Pool

_IN_FLIGHT = 128


class RayExecutor(Executor[RayConfig]):
    """Answers on the workers of a Ray cluster, or of one that it starts on this machine."""

    name: ClassVar[str] = "ray"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Any]] = RayConfig

    def __init__(self, config: RayConfig) -> None:
        super().__init__(config)
        self._cluster = Cluster(config)
        self._pools: list[tuple[Engine[EngineConfig], Pool]] = []
        self._thread: ThreadPoolExecutor | None = None

    async def answer(self, engine: Engine[EngineConfig], asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """Hands the asks to workers; they are started by the first ask that has no stored reply."""
        first = await anext(asks, None)
        if first is None:
            return
        pool = self._pool(engine)
        # Lives as long as the cluster, which the kernel ends with the thread that started it.
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="ray")
        await asyncio.get_running_loop().run_in_executor(self._thread, self._cluster.connect)
        replies = pool.answer(_chain(first, asks))
        try:
            async for answered in replies:
                yield answered
        finally:
            if isinstance(replies, AsyncGenerator):
                await replies.aclose()

    def _pool(self, engine: Engine[EngineConfig]) -> Pool:
        for known, pool in self._pools:
            if known is engine:
                return pool
        in_flight = self.config.in_flight or 2 * int(getattr(engine, "window", 0)) or _IN_FLIGHT
        pool = Pool(self._cluster, self._recipe(engine), self.config, in_flight=in_flight)
        self._pools.append((engine, pool))
        return pool

    def _recipe(self, engine: Engine[EngineConfig]) -> dict[str, Any]:
        """What a worker needs to build the same engine. Raises EngineError where it could not find its class."""
        registry = load_registry()
        if engine.name not in registry.names("engine"):
            raise EngineError(
                f"executor 'ray': workers look the engine {engine.name!r} up by its name, and no installed plugin registers it; "
                f"{nearest(engine.name, registry.names('engine'))}"
            )
        origin = registry.origin("engine", engine.name)
        plugin = next(info for info in registry.plugins if info.name == origin)
        missing = [name for name in self.config.forward if name not in os.environ]
        if missing:
            raise ConfigError(f"executor 'ray': forward names {missing[0]!r}, which is not set in the environment; set it or leave it out")
        return {
            "engine": engine.name,
            "config": pickle.dumps(engine.config.model_dump()),
            "identity": engine.identity,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "core": metadata.version("vidground-core"),
            "environment": {name: os.environ[name] for name in self.config.forward},
        }

    def close(self) -> None:
        """Ends the workers this executor started, and the cluster if it is its own."""
        if self._thread is not None:
            self._thread.submit(self._end).result()
            self._thread.shutdown()
            self._thread = None

    def _end(self) -> None:
        while self._pools:
            self._pools.pop()[1].close()
        self._cluster.close()


async def _chain(first: tuple[str, Ask], rest: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Ask]]:
    yield first
    async for ask in rest:
        yield ask
