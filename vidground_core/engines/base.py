"""An engine answers asks: an asynchronous stream of asks in, a stream of replies out, in any order, each as it completes."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.errors import EngineError
from vidground_core.records import Ask, Reply

CAPABILITIES = ("text", "letters", "logprobs", "images", "video", "sampling")
"""What engines can do: `logprobs` scores any continuation and so letters too, `letters` single letters only."""
# How long a window that is not full waits for one more ask.
_GRACE_SECONDS = 0.005


class EngineConfig(ComponentConfig):
    """Options every engine has."""

    model: str = Field("", description="Model name or path; the run's `--model` by default.")


EngineConfigT = TypeVar("EngineConfigT", bound=EngineConfig)


def lacking(needs: frozenset[str], can: frozenset[str]) -> list[str]:
    """What is needed and not there, of `CAPABILITIES`, sorted."""
    return sorted(needs - can - ({"letters"} if "logprobs" in can else set()))


class Engine(Component[EngineConfigT]):
    """Base of engines.

    `can` lists what it is able to do, of `CAPABILITIES`: on the class, with the most able model; an instance may set less for its own.
    Building an engine loads nothing: the model is loaded by `start`.
    """

    Config: ClassVar[type[Any]] = EngineConfig
    can: frozenset[str] = frozenset()

    @property
    def priced(self) -> bool:
        """Whether `cost` knows what a reply costs; False where the engine charges by prices it has not been told: none can be limited."""
        return True

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

    def cost(self, reply: Reply) -> float:
        """What a reply of this engine cost, in US dollars, by its `usage`; 0 where nothing is charged, as for a model on this machine."""
        return 0.0

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
        """Answers windows of asks by `answer_batch`; the next window gathers meanwhile, so that a slow feed still fills it."""
        waiting: asyncio.Queue[tuple[str, Ask] | None] = asyncio.Queue(self.window)
        collector = asyncio.ensure_future(_collect(asks, waiting))
        try:
            ended = False
            while not ended:
                taken, ended = await self._take(waiting)
                if taken:
                    replies = await asyncio.to_thread(self.answer_batch, [ask for _, ask in taken])
                    if len(replies) != len(taken):
                        raise EngineError(f"the engine {self.name!r} gave {len(replies)} replies to {len(taken)} asks")
                    for (token, _), reply in zip(taken, replies, strict=True):
                        yield token, reply
            await collector
        finally:
            collector.cancel()
            await asyncio.gather(collector, return_exceptions=True)

    async def _take(self, waiting: asyncio.Queue[tuple[str, Ask] | None]) -> tuple[list[tuple[str, Ask]], bool]:
        """What is ready, up to a window, and whether the feed has ended.

        The feed may be waiting for the replies to what is taken, so a full window is never waited for, only the first ask.
        """
        taken: list[tuple[str, Ask]] = []
        while len(taken) < self.window:
            if taken and waiting.empty():
                await asyncio.sleep(_GRACE_SECONDS)
                if waiting.empty():
                    break
            item = await waiting.get()
            if item is None:
                return taken, True
            taken.append(item)
        return taken, False


async def _collect(asks: AsyncIterator[tuple[str, Ask]], waiting: asyncio.Queue[tuple[str, Ask] | None]) -> None:
    try:
        async for item in asks:
            await waiting.put(item)
    except Exception:
        await waiting.put(None)
        raise
    await waiting.put(None)
