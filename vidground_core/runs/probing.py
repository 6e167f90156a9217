"""One probe detector over all questions: generators kept open in bounded number, their asks streamed to the engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from vidground_core.detectors.base import Corpus, ProbeDetector
from vidground_core.errors import EngineError
from vidground_core.events import Event
from vidground_core.records import Ask, Question, Reply, SetAside, Verdict, reply_key
from vidground_core.runs.judging import OpenQuestion, begin, blamed_clips, needs_digest, resolve_clips, set_aside_unreadable, step
from vidground_core.runs.options import BoundDetector
from vidground_core.runs.queue import AskQueue
from vidground_core.runs.session import Session
from vidground_core.runs.shards import ShardCounts, VerdictShards
from vidground_core.tables import read

# Questions stepped before the engines are let in again: a few milliseconds, since an engine with requests under way runs in this thread.
_STEPPED_TOGETHER = 32


@dataclass(slots=True)
class _Shard:
    """A shard whose verdicts are being collected; `failed` holds the keys of its asks that stayed failed."""

    verdicts: list[Verdict | None]
    left: int
    asks: int = 0
    media: int = 0
    failed: set[bytes] = field(default_factory=set)


class ProbePass:
    """Judges every question of the open shards of one detector; run it once, then read `counts`, `sent` and `failed`.

    `waiting` maps the key of every ask under way to the questions that wait for its reply: equal asks are asked once.
    """

    def __init__(self, bound: BoundDetector, detector: ProbeDetector[Any], shards: VerdictShards, session: Session) -> None:
        self._bound, self._detector, self._shards, self._session = bound, detector, shards, session
        self._corpus: Corpus = session.corpus
        self._work = asyncio.Event()
        self._queues = {
            role: AskQueue(engine, session.store, retries=session.options.retries, on_reply=self._on_reply, wake=self._work)
            for role, engine in bound.engines.items()
        }
        self._waiting: dict[bytes, list[OpenQuestion]] = {}
        self._answered: list[OpenQuestion] = []
        self._open_shards: dict[str, _Shard] = {}
        self._open = self._judged = 0
        self._rows = self._open_rows()
        self._trouble: Exception | None = None
        self._stopped = False
        self._unreadable: set[bytes] = set()
        self.counts = ShardCounts()

    @property
    def sent(self) -> int:
        """Asks handed to an engine, retries not counted."""
        return sum(queue.sent for queue in self._queues.values())

    @property
    def failed(self) -> list[Reply]:
        """The failures that no retry mended, in the order they came; without those of media that cannot be decoded."""
        return [reply for queue in self._queues.values() for key, reply in queue.failed.items() if key not in self._unreadable]

    def stop(self) -> None:
        """Opens nothing more and hands out no more asks; `run` returns when what is under way has come back."""
        self._stopped = True
        self._work.set()
        for queue in self._queues.values():
            queue.stop()

    async def run(self) -> None:
        """Judges all open shards. Raises the first EngineError, PluginError or RunDirectoryError when the engines have come to rest."""
        executor = self._bound.executor
        streams = [asyncio.ensure_future(self._guarded(queue.run(executor))) for queue in self._queues.values() if executor is not None]
        await self._guarded(self._drive())
        self.stop()
        await asyncio.gather(*streams)
        if self._trouble is not None:
            raise self._trouble

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self._trouble = self._trouble or error
            self.stop()

    async def _drive(self) -> None:
        exhausted = False
        while not self._stopped:
            if self._answered:
                states, self._answered = self._answered[:_STEPPED_TOGETHER], self._answered[_STEPPED_TOGETHER:]
                await self._advance(states)
            elif not exhausted and self._open < self._session.options.open_questions:
                states = list(islice(self._rows, min(_STEPPED_TOGETHER, self._session.options.open_questions - self._open)))
                exhausted = not states
                self._open += len(states)
                await self._advance(states)
            elif any(queue.retry() for queue in self._queues.values()):
                continue
            elif self._open == 0:
                return
            else:
                self._work.clear()
                await self._work.wait()
            # Lets the engines take what is ready before more is opened.
            await asyncio.sleep(0)

    def _open_rows(self) -> Iterator[OpenQuestion]:
        table = self._session.questions
        for part, rows in table.parts:
            finished = self._shards.finished(part)
            if finished is not None:
                self.counts += finished
                self._judged += rows
                continue
            self._open_shards[part] = _Shard([None] * rows, rows)
            for row, question in enumerate(read(table.folder / part, Question)):
                yield begin(self._detector, question, self._corpus, part=part, row=row)

    async def _advance(self, states: list[OpenQuestion]) -> None:
        """Steps the questions until each waits for an engine or has its verdict, with one look-up in the store a wave."""
        while states:
            blaming = [state for state in states if blamed_clips(state)]
            if blaming:
                await asyncio.to_thread(set_aside_unreadable, self._detector, blaming)
            for state in states:
                if state.verdict is None:
                    step(self._detector, state)
            unresolved = [state for state in states if needs_digest(state)]
            if unresolved:
                await asyncio.to_thread(resolve_clips, self._detector, unresolved)
            await self._collect([state for state in states if state.verdict is not None])
            states = [state for state in states if state.verdict is None]
            states = self._look_up(states)

    def _look_up(self, states: list[OpenQuestion]) -> list[OpenQuestion]:
        """Gives the states' asks what the store has and queues the rest; returns the states that miss nothing."""
        for state in states:
            state.keys = [reply_key(ask, self._queue(ask).identity) for ask in state.asks]
            state.missing = set(state.keys)
            self._open_shards[state.part].asks += len(state.missing)
        stored = self._session.store.get_many(key for state in states for key in state.keys if key not in self._waiting)
        for state in states:
            for key, ask in zip(state.keys, state.asks, strict=True):
                if key in state.missing:
                    self._answer_or_queue(state, key, ask, stored.get(key))
        return [state for state in states if not state.missing]

    def _answer_or_queue(self, state: OpenQuestion, key: bytes, ask: Ask, stored: Reply | None) -> None:
        queue = self._queue(ask)
        reply = stored or queue.failed.get(key)
        if reply is not None:
            self._give(state, key, reply)
        elif key not in self._waiting:
            self._waiting[key] = [state]
            queue.submit(key, ask)
        elif self._waiting[key][-1] is not state:
            self._waiting[key].append(state)

    def _queue(self, ask: Ask) -> AskQueue:
        if ask.role not in self._queues:
            roles = ", ".join(sorted(self._queues)) or "none"
            raise EngineError(
                f"the detector {self._detector.name!r} asks the role {ask.role!r}, which has no engine here; there is: {roles}"
            )
        return self._queues[ask.role]

    def _on_reply(self, key: bytes, reply: Reply) -> None:
        for state in self._waiting.pop(key):
            self._give(state, key, reply)
            if not state.missing:
                self._answered.append(state)
        self._work.set()

    def _give(self, state: OpenQuestion, key: bytes, reply: Reply) -> None:
        state.replies[key] = reply
        state.missing.discard(key)
        if reply.status == "failed":
            self._open_shards[state.part].failed.add(key)

    async def _collect(self, judged: list[OpenQuestion]) -> None:
        for state in judged:
            shard = self._open_shards[state.part]
            shard.verdicts[state.row] = state.verdict
            shard.left -= 1
            if state.media_error is not None:
                shard.media += 1
                shard.failed -= state.unreadable
                self._unreadable |= state.unreadable
                path, reason = state.media_error
                self._session.set_aside.add(SetAside(path, None, reason, state.question.id))
            if shard.left == 0:
                await self._commit(state.part, self._open_shards.pop(state.part))
        self._open -= len(judged)
        self._judged += len(judged)
        if judged:
            self._session.advance(self._detector.name, self._judged, self.sent, len(self.failed))

    async def _commit(self, part: str, shard: _Shard) -> None:
        verdicts = [verdict for verdict in shard.verdicts if verdict is not None]
        counts = ShardCounts(asks=shard.asks, media=shard.media, failed=len(shard.failed))
        self.counts += await asyncio.to_thread(self._shards.commit, part, verdicts, counts)
        facts: dict[str, str | int | float] = {
            "detector": self._detector.name,
            "part": part,
            "rows": len(verdicts),
            "failed": counts.failed,
        }
        self._session.on_event(Event("shard-finished", self._session.options.step, facts))
