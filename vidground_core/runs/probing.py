"""One probe detector over all questions: generators kept open in bounded number, their asks streamed to the engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from vidground_core.detectors.base import Corpus, ProbeDetector
from vidground_core.errors import EngineError
from vidground_core.events import Event
from vidground_core.records import Ask, Question, Reply, SetAside, Verdict, reply_key
from vidground_core.runs.batch_files import BatchWriter
from vidground_core.runs.judging import OpenQuestion, begin, blamed_clips, needs_digest, resolve_clips, set_aside_unreadable, step
from vidground_core.runs.options import BoundDetector
from vidground_core.runs.queue import AskQueue, Signals
from vidground_core.runs.session import Session
from vidground_core.runs.shards import ShardCounts, VerdictShards
from vidground_core.runs.standing import Spent, Standing
from vidground_core.tables import read

# Questions stepped before the engines are let in again: a few milliseconds, since an engine with requests under way runs in this thread.
_STEPPED_TOGETHER = 32
_SECONDS_BETWEEN_WORDS = 0.2


@dataclass(slots=True)
class _Shard:
    """A shard whose verdicts are being collected: of its `rows`, `left` are still to be judged.

    `failed` holds the keys of its asks that stayed failed; `unanswered` the rows with one, with their number of asks, and `entangled` says
    that other rows may rest on one. Where `postponed`, an ask of it went into a batch file: it cannot be finished in this session, and its
    verdicts are not held.
    """

    rows: int
    left: int
    asks: int = 0
    media: int = 0
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    failed: set[bytes] = field(default_factory=set)
    unanswered: dict[int, int] = field(default_factory=dict)
    entangled: bool = False
    postponed: bool = False

    def settle(self, state: OpenQuestion) -> bool:
        """Takes one row's verdict, or that it is postponed where it has none; whether it was the last."""
        self.left -= 1
        if state.verdict is None:
            self.postponed = True
            self.verdicts.clear()
        elif not self.postponed:
            self.verdicts[state.row] = state.verdict
        if state.failed - state.unreadable:
            self.unanswered[state.row] = state.made
            self.entangled |= state.shared
        return self.left == 0


class ProbePass:
    """Judges every question of the open shards of one detector; run it once, then read `counts`, `sent`, `reused`, `failed`, `postponed`.

    `waiting` maps the key of every ask under way to the questions that wait for its reply: equal asks are asked once.
    """

    def __init__(self, bound: BoundDetector, detector: ProbeDetector[Any], shards: VerdictShards, session: Session) -> None:
        self._bound, self._detector, self._shards, self._session = bound, detector, shards, session
        self._corpus: Corpus = session.corpus
        self._budget, self._before = session.options.budget, session.options.budget.spent
        self._signals = Signals(session.options.retries)
        self._queues = {
            role: AskQueue(engine, session.store, self._budget, on_reply=self._on_reply, signals=self._signals)
            for role, engine in bound.engines.items()
        }
        self._waiting: dict[bytes, list[OpenQuestion]] = {}
        self._answered: list[OpenQuestion] = []
        self._open_shards: dict[str, _Shard] = {}
        self._open = self._done = self._judged = self.postponed = self.reused = 0
        self._rows = self._open_rows()
        self._tell_next = 0.0
        self._trouble: Exception | None = None
        self._stopped = False
        self._unreadable: set[bytes] = set()
        self.counts = ShardCounts()

    @property
    def sent(self) -> int:
        """Asks handed to an engine, retries not counted."""
        return sum(queue.sent for queue in self._queues.values())

    @property
    def spent(self) -> Spent:
        """What the replies of this pass cost, in this session."""
        return self._budget.spent - self._before

    @property
    def failed(self) -> list[Reply]:
        """The failures that no retry mended, in the order they came; without those of media that cannot be decoded."""
        return [reply for queue in self._queues.values() for key, reply in queue.failed.items() if key not in self._unreadable]

    def stop(self) -> None:
        """Opens nothing more and hands out no more asks; `run` returns when what is under way has come back."""
        self._stopped = True
        self._signals.work.set()
        for queue in self._queues.values():
            queue.stop()

    async def run(self) -> None:
        """Judges all open shards.

        Raises the first EngineError, PluginError or RunDirectoryError when the engines have come to rest, StoppedError where the budget
        is used up.
        """
        executor = self._bound.executor if self._session.options.batch.out is None else None
        streams = [asyncio.ensure_future(self._guarded(queue.run(executor))) for queue in self._queues.values() if executor is not None]
        await self._guarded(self._drive())
        self.stop()
        await asyncio.gather(*streams)
        self._tell(always=True)
        if self._trouble is None and self._starved():
            self._trouble = self._budget.stopped(self._detector.name, self._done, self._session.questions.rows)
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
            elif self._starved():
                return
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
                self._signals.work.clear()
                await self._signals.work.wait()
            # Lets the engines take what is ready before more is opened.
            await asyncio.sleep(0)

    def _starved(self) -> bool:
        return any(queue.starved for queue in self._queues.values())

    def _open_rows(self) -> Iterator[OpenQuestion]:
        table = self._session.questions
        for part, rows in table.parts:
            finished = self._shards.finished(part)
            if finished is not None:
                self.counts += finished
                self._done += rows
                self.reused += finished.asks
                continue
            again = self._shards.reopened(part)
            chosen = range(rows) if again is None else again.rows
            kept = ShardCounts() if again is None else again.kept
            self._open_shards[part] = _Shard(rows, len(chosen), kept.asks, kept.media)
            self._done += rows - len(chosen)
            self.reused += kept.asks
            wanted = set(chosen)
            for row, question in enumerate(read(table.folder / part, Question)):
                if row in wanted:
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
            self._look_up(states)
            if self._session.options.batch.out is not None:
                await self._postpone(self._session.options.batch.out, [state for state in states if state.missing])
            states = [state for state in states if not state.missing]

    def _look_up(self, states: list[OpenQuestion]) -> None:
        """Gives the states' asks what the store and batch files have, and queues the rest, which they miss then."""
        for state in states:
            state.keys = [reply_key(ask, self._queue(ask).identity) for ask in state.asks]
            state.missing = set(state.keys)
            state.made += len(state.missing)
            self._open_shards[state.part].asks += len(state.missing)
        stored = self._session.store.get_many(key for state in states for key in state.keys if key not in self._waiting)
        for state in states:
            for key, ask in zip(state.keys, state.asks, strict=True):
                if key in state.missing:
                    self._answer_or_queue(state, key, ask, stored)

    def _answer_or_queue(self, state: OpenQuestion, key: bytes, ask: Ask, stored: dict[bytes, Reply]) -> None:
        queue = self._queue(ask)
        if key not in stored and (batched := self._session.options.batch.reply(key, ask, queue.engine, self._session.store)):
            stored[key] = batched
        reply = stored.get(key) or queue.failed.get(key)
        if reply is not None:
            self.reused += reply.status == "answered"
            self._give(state, key, reply)
        elif self._session.options.batch.out is None:
            state.waited = True
            if key not in self._waiting:
                self._waiting[key] = [state]
                queue.submit(key, ask)
            elif self._waiting[key][-1] is not state:
                self._waiting[key].append(state)

    async def _postpone(self, out: BatchWriter, states: list[OpenQuestion]) -> None:
        """Writes what the states miss into batch files and lets them go: a later session judges them."""
        missing = [
            (self._queue(ask).engine, key, ask)
            for state in states
            for key, ask in zip(state.keys, state.asks, strict=True)
            if key in state.missing
        ]
        await asyncio.to_thread(out.add, missing)
        for state in states:
            state.rounds.close()
            if self._open_shards[state.part].settle(state):
                del self._open_shards[state.part]
        self._open -= len(states)
        self.postponed += len(states)
        self._done += len(states)
        self._tell()

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
        self._signals.work.set()
        self._tell()

    def _give(self, state: OpenQuestion, key: bytes, reply: Reply) -> None:
        state.replies[key] = reply
        state.missing.discard(key)
        if reply.status == "failed":
            state.failed.add(key)
            self._open_shards[state.part].failed.add(key)

    async def _collect(self, judged: list[OpenQuestion]) -> None:
        for state in judged:
            shard = self._open_shards[state.part]
            if state.media_error is not None:
                shard.media += 1
                shard.failed -= state.unreadable
                self._unreadable |= state.unreadable
                path, reason = state.media_error
                self._session.set_aside.add(SetAside(path, None, reason, state.question.id))
            if shard.settle(state):
                del self._open_shards[state.part]
                if not shard.postponed:
                    await self._commit(state.part, shard)
        self._open -= len(judged)
        self._judged += sum(state.waited for state in judged)
        self._done += len(judged)
        self._tell()

    def _tell(self, *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now >= self._tell_next:
            self._tell_next = now + _SECONDS_BETWEEN_WORDS
            failed, total = len(self.failed), self._session.questions.rows
            standing = Standing(self._done, total, self._judged, self.sent, self.reused, failed, self.spent)
            self._session.advance(self._detector.name, standing)

    async def _commit(self, part: str, shard: _Shard) -> None:
        counts = ShardCounts(asks=shard.asks, media=shard.media, failed=len(shard.failed))

        def write() -> ShardCounts:
            # A finished shard is not replayed, so nobody would notice that its last replies never reached the disk.
            self._session.store.flush()
            verdicts = self._shards.merged(part, shard.verdicts, shard.rows)
            return self._shards.commit(part, verdicts, counts, unanswered=None if shard.entangled else shard.unanswered)

        self.counts += await asyncio.to_thread(write)
        facts: dict[str, str | int | float] = {"detector": self._detector.name, "part": part, "rows": shard.rows, "failed": counts.failed}
        self._session.on_event(Event("shard-finished", self._session.options.step, facts))
