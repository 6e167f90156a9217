"""The executor that answers in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, ClassVar

from vidground_core.engines.base import Engine, EngineConfig
from vidground_core.records import Ask, Reply
from vidground_core.runs.executor import Executor, ExecutorConfig


class LocalExecutor(Executor[ExecutorConfig]):
    """Answers in this process; the engine is started by the first ask that has no stored reply."""

    name: ClassVar[str] = "local"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Any]] = ExecutorConfig

    def __init__(self, config: ExecutorConfig) -> None:
        super().__init__(config)
        self._started: list[Engine[EngineConfig]] = []

    async def answer(self, engine: Engine[EngineConfig], asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """Hands the asks to the engine. An engine that answers several detectors is started once."""
        first = await anext(asks, None)
        if first is None:
            return
        if not any(engine is started for started in self._started):
            # In a thread, so that Ctrl-C is heard while a model loads.
            await asyncio.to_thread(engine.start)
            self._started.append(engine)
        replies = engine.answer(_chain(first, asks))
        try:
            async for answered in replies:
                yield answered
        finally:
            if isinstance(replies, AsyncGenerator):
                await replies.aclose()

    def close(self) -> None:
        """Closes the engines that were started."""
        while self._started:
            self._started.pop().close()


async def _chain(first: tuple[str, Ask], rest: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Ask]]:
    yield first
    async for ask in rest:
        yield ask
