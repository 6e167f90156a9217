"""An engine answers asks: an asynchronous stream of asks in, a stream of replies out, in any order, each as it completes."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.records import Ask, Reply

CAPABILITIES = ("text", "logprobs", "images", "video", "sampling")


class EngineConfig(ComponentConfig):
    """Options every engine has."""

    model: str = Field("", description="Model name or path; the run's `--model` by default.")


EngineConfigT = TypeVar("EngineConfigT", bound=EngineConfig)


class Engine(Component[EngineConfigT]):
    """Base of engines.

    `can` lists what it is able to do, of `CAPABILITIES`. Building an engine loads nothing: the model is loaded by `start`.
    """

    Config: ClassVar[type[Any]] = EngineConfig
    can: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def identity(self) -> str:
        """What a reply depends on besides the ask (model and revision, template, dtype); part of the reply's key.

        Cheap: read from config and files, without loading the model, so that a finished run resumes without one.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Loads what answering needs; called once before the first ask that has no stored reply. Raises EngineError."""

    @abstractmethod
    def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """A (token, reply) for each (token, ask), in any order, as each completes.

        A failing ask is a `Reply` with status "failed"; an exception means that the engine is dead and ends the run.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Frees what `start` took."""


class BatchEngine(Engine[EngineConfigT]):
    """An engine that answers a list at a time. `window` asks are collected (fewer when no more are ready) and handed over together."""

    window: int = 256

    @abstractmethod
    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply for each ask, in the same order. Runs in a worker thread, one call at a time."""
        raise NotImplementedError

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """Collects windows of asks and answers each by `answer_batch`."""
        source = aiter(asks)
        upcoming: asyncio.Task[tuple[str, Ask]] | None = None
        exhausted = False
        while not exhausted:
            taken: list[tuple[str, Ask]] = []
            while len(taken) < self.window:
                upcoming = upcoming or asyncio.ensure_future(_next(source))
                if taken:
                    # The feed may be waiting for the replies of what is already taken, so never wait for a full window.
                    await asyncio.wait({upcoming}, timeout=0.005)
                    if not upcoming.done():
                        break
                try:
                    taken.append(await upcoming)
                except StopAsyncIteration:
                    exhausted = True
                    break
                finally:
                    if upcoming.done():
                        upcoming = None
            if taken:
                replies = await asyncio.to_thread(self.answer_batch, [ask for _, ask in taken])
                for (token, _), reply in zip(taken, replies, strict=True):
                    yield token, reply


async def _next(source: AsyncIterator[tuple[str, Ask]]) -> tuple[str, Ask]:
    return await anext(source)
