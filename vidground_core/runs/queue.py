"""Asks on their way to one engine and back: each asked once, failed ones again at the end, answers stored as they come."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from vidground_core.engines.base import Engine
from vidground_core.errors import EngineError, VidGroundError
from vidground_core.records import Ask, Reply
from vidground_core.runs.budget import Budget
from vidground_core.runs.executor import Executor
from vidground_core.runs.store import ReplyStore

# So many other asks go before a failed one is tried again: late enough for an outage to pass, and its shard is not open to the end.
_OTHERS_BEFORE_RETRY = 1_000


@dataclass(frozen=True)
class Signals:
    """What the queues of a pass and its driver tell each other by: `fed` that there may be asks to hand out, `work` that there may be
    something to judge. A failed ask is tried `retries` times again."""

    retries: int = 0
    fed: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Event = field(default_factory=asyncio.Event)


class AskQueue:
    """The asks of one role. `on_reply(key, reply)` is called for each answer, and for each failure once its retries are used up.

    `sent` counts the asks handed to the engine, retries not counted. A failed ask waits for `retry`, or until a thousand others went.
    `failed` keeps the final failures of this session by key; they are never stored. An ask for which the budget has no room is held back
    until a reply makes some. `signals` are shared by the queues of a pass.
    """

    def __init__(
        self, engine: Engine[Any], store: ReplyStore, budget: Budget, *, on_reply: Callable[[bytes, Reply], None], signals: Signals
    ) -> None:
        self.engine, self.identity = engine, engine.identity
        self.sent = 0
        self.failed: dict[bytes, Reply] = {}
        self._store, self._budget, self._on_reply, self._signals = store, budget, on_reply, signals
        self._asks: dict[bytes, Ask] = {}
        self._ready: deque[bytes] = deque()
        self._later: deque[tuple[bytes, int]] = deque()
        self._attempts: dict[bytes, int] = {}
        self._in_flight: dict[str, bytes] = {}
        self._handed_out = 0
        self._stopped = False

    @property
    def starved(self) -> bool:
        """Whether asks are left that the budget will never let go."""
        return bool(self._ready) and self._budget.exhausted

    def submit(self, key: bytes, ask: Ask) -> None:
        """Queues an ask that has no reply yet."""
        self._asks[key] = ask
        self._ready.append(key)
        self._signals.fed.set()

    def retry(self) -> bool:
        """Queues the failed asks that may be tried again, where no other ask waits; whether there were any."""
        if self._ready or not self._later:
            return False
        self._ready.extend(key for key, _ in self._later)
        self._later.clear()
        self._signals.fed.set()
        return True

    def stop(self) -> None:
        """Hands out no more asks; those under way still come back."""
        self._stopped = True
        self._signals.fed.set()

    async def run(self, executor: Executor[Any]) -> None:
        """Streams asks to the engine and takes its replies until stopped. Raises EngineError where it dies or breaks its contract."""
        replies = executor.answer(self.engine, self._feed())
        try:
            while (answered := await self._next(replies)) is not None:
                self._take(*answered)
        finally:
            if isinstance(replies, AsyncGenerator):
                await replies.aclose()
        if self._in_flight:
            raise EngineError(f"the engine {self.engine.name!r} ended and left {len(self._in_flight)} asks unanswered; {_GO_ON}")

    async def _feed(self) -> AsyncIterator[tuple[str, Ask]]:
        while not self._stopped:
            if self._later and self._later[0][1] <= self._handed_out:
                self._ready.appendleft(self._later.popleft()[0])
            if self._ready and self._budget.room():
                key = self._ready.popleft()
                self._handed_out += 1
                self._in_flight[key.hex()] = key
                self._budget.hand_out()
                self.sent += key not in self._attempts
                yield key.hex(), self._asks[key]
            else:
                self._signals.fed.clear()
                await self._signals.fed.wait()

    async def _next(self, replies: AsyncIterator[tuple[str, Reply]]) -> tuple[str, Reply] | None:
        try:
            return await anext(replies, None)
        except VidGroundError:
            raise
        except Exception as error:
            raise EngineError(f"the engine {self.engine.name!r} died: {type(error).__name__}: {error}; {_GO_ON}") from error

    def _take(self, token: str, reply: Reply) -> None:
        key = self._in_flight.pop(token, None)
        if key is None:
            raise EngineError(
                f"the engine {self.engine.name!r} broke its contract: it answered {token!r}, which is not under way; {_GO_ON}"
            )
        reply = self._checked(self._asks[key], reply)
        if reply.status == "answered":
            self._store.put(key, reply, self.identity)
        self._budget.take(self.engine, reply)
        if self._budget.limited:
            self._signals.fed.set()  # a reply may make room, for the other queues too
            self._signals.work.set()
        if reply.status == "failed" and (attempts := self._attempts.get(key, 0)) < self._signals.retries:
            self._attempts[key] = attempts + 1
            self._later.append((key, self._handed_out + _OTHERS_BEFORE_RETRY))
            self._signals.work.set()
            return
        if reply.status == "failed":
            self.failed[key] = reply
        self._attempts.pop(key, None)
        del self._asks[key]
        self._on_reply(key, reply)

    def _checked(self, ask: Ask, reply: Reply) -> Reply:
        if reply.status == "failed" or not ask.continuations:
            return reply
        if len(reply.logprobs) != len(ask.continuations) or len(reply.tokens) != len(ask.continuations):
            raise EngineError(
                f"the engine {self.engine.name!r} broke its contract: {len(ask.continuations)} continuations to score, "
                f"{len(reply.logprobs)} log-probabilities and {len(reply.tokens)} token counts came back; {_GO_ON}"
            )
        if any(math.isnan(value) for value in reply.logprobs):
            return Reply("failed", error="a log-probability is not a number")
        return reply


_GO_ON = "its replies so far are kept, the same command goes on from there"
