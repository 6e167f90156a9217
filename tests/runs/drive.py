"""A small deterministic engine, detectors, and a run of them in a process of its own that can be killed.

python drive.py OUT [key=value …]     (options of `LogConfig`; rows=N, detector=NAME)
"""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from vidground_core.detectors.base import Corpus, CorpusDetector, DetectorConfig, ProbeConfig, ProbeDetector, Rounds, Stages
from vidground_core.engines.base import BatchEngine, EngineConfig
from vidground_core.errors import MediaError
from vidground_core.records import Ask, Clip, Probe, Question, Reply, Tally, Verdict, canonical
from vidground_core.runs.directory import RunDirectory
from vidground_core.runs.executor import ExecutorConfig
from vidground_core.runs.layout import Layout
from vidground_core.runs.local import LocalExecutor
from vidground_core.runs.options import BoundDetector, DetectorCounts, RunnerOptions
from vidground_core.runs.runner import run_detectors


class LogConfig(EngineConfig):
    """Options of the logging engine."""

    log: str = ""
    window: int = 4
    seed: int = 0
    failing: str = ""  # asks that contain this text fail
    mends_after: int = 10**9  # a failing ask succeeds after so many attempts
    dies_at: int = -1  # the engine raises at this ask
    kill_at: int = -1  # the process kills itself at this ask
    wait_for: str = ""  # a store: before killing, all replies of earlier windows must be in it
    slow: float = 0.0  # seconds a window


class LogEngine(BatchEngine[LogConfig]):
    """Answers from a hash of the ask and writes each ask into a log, flushed to disk before the reply leaves."""

    name, version, Config = "log", "1", LogConfig
    can: ClassVar[frozenset[str]] = frozenset({"text", "logprobs"})

    def __init__(self, config: LogConfig) -> None:
        super().__init__(config)
        self.window = config.window
        self.starts = self.closes = self.seen = 0
        self.attempts: dict[str, int] = {}
        self.asked: list[str] = []

    @property
    def identity(self) -> str:
        return f"log {self.config.seed}"

    def start(self) -> None:
        self.starts += 1

    def close(self) -> None:
        self.closes += 1

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        time.sleep(self.config.slow)
        finished = self.seen
        replies = [self._one(ask, finished) for ask in asks]
        if self.config.log:
            with Path(self.config.log).open("a") as log:
                log.writelines(f"{hashlib.sha256(canonical(ask).encode()).hexdigest()}\n" for ask in asks)
                log.flush()
                os.fsync(log.fileno())
        return replies

    def _one(self, ask: Ask, finished: int) -> Reply:
        if self.seen == self.config.dies_at:
            raise RuntimeError("out of memory")
        if self.seen == self.config.kill_at:
            _wait_for(self.config.wait_for, finished)
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen += 1
        text = canonical(ask)
        self.asked.append(text)
        self.attempts[text] = self.attempts.get(text, 0) + 1
        if self.config.failing and self.config.failing in text and self.attempts[text] <= self.config.mends_after:
            return Reply("failed", error="service unavailable")
        numbers = hashlib.sha256(f"{self.config.seed}{text}".encode()).digest()
        if ask.continuations:
            logprobs = tuple(-number / 37 for number in numbers[: len(ask.continuations)])
            return Reply("answered", logprobs=logprobs, tokens=(1,) * len(logprobs))
        return Reply("answered", text=f"reply {numbers[0]}")


def _wait_for(store: str, replies: int) -> None:
    """Returns when that many replies are on disk, seen by a connection that shares nothing with the run's own, or after 30 s."""
    deadline = time.monotonic() + 30
    while store and time.monotonic() < deadline:
        connection = sqlite3.connect(store)
        (stored,) = connection.execute("SELECT count(*) FROM replies").fetchone()
        connection.close()
        if stored >= replies:
            return
        time.sleep(0.01)


class PlainConfig(ProbeConfig):
    """Options of the test detectors."""

    rotations: int = 2


class Plain(ProbeDetector[PlainConfig]):
    """Scores the options in some rotations."""

    name, version, Config = "plain", "1", PlainConfig

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"text", "logprobs"})

    def probes(self, question: Question) -> Sequence[Probe]:
        orders = [tuple((index + shift) % len(question.options) for index in range(len(question.options))) for shift in range(2)]
        asks = [Ask((("user", (f"{question.text} {order}",)),), question.options) for order in orders]
        return [Probe(ask, order=order) for ask, order in zip(asks, orders, strict=True)][: self.config.rotations]

    def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
        scores = {f"rotation {index}": reply.logprobs[0] for index, reply in enumerate(replies) if reply.status == "answered"}
        failed = len(replies) - len(scores)
        tally = Tally(trials=len(replies), failed=failed, refused=int(question.text.endswith("7")))
        answered = bool(scores) and sum(scores.values()) > -8
        return Verdict(question.id, self.name, "mean", float(answered) if scores else None, answered, {"blind": tally}, scores)


class Judged(ProbeDetector[PlainConfig]):
    """Asks in two rounds, the second of a judge about what the first said; some questions need no second round."""

    name, version, Config = "judged", "1", PlainConfig

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        (first,) = yield [Probe(Ask((("user", (question.text,)),)))]
        if question.id.endswith("3"):
            return Verdict(question.id, self.name, "first", 0.0, False, evidence=(first.text,))
        asks = [Ask((("user", (f"is {first.text!r} right {number}?",)),), role="judge") for number in range(3)]
        second = yield [Probe(ask) for ask in asks]
        return Verdict(question.id, self.name, "judge", 1.0, True, evidence=(first.text, *(reply.text for reply in second)))


class Watching(ProbeDetector[PlainConfig]):
    """Shows the question's video."""

    name, version, Config = "watching", "1", PlainConfig

    def probes(self, question: Question) -> Sequence[Probe]:
        clips = tuple(Clip(medium.path, frames=2) for medium in question.media)
        return [Probe(Ask((("user", (*clips, question.text)),)), "ordered")]

    def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
        return Verdict(question.id, self.name, "any", 1.0, True, evidence=tuple(reply.text for reply in replies))


class Broken(ProbeDetector[PlainConfig]):
    """Breaks on a question, in the way its `model` option says."""

    name, version, Config = "broken", "1", PlainConfig

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        replies = yield [Probe(Ask((("user", (question.text,)),), role="oracle" if self.config.model == "role" else "model"))]
        if question.id == "q005":
            if self.config.model == "raises":
                raise KeyError("colour")
            if self.config.model == "shortcut":
                return Verdict(question.id, self.name, "x", 1.5, True)
            if self.config.model == "other":
                return Verdict("q999", self.name, "x", 1.0, True)
            if self.config.model == "nothing":
                return None  # type: ignore[return-value]
            if self.config.model == "probes":
                yield "not probes"  # type: ignore[misc]
            if self.config.model == "media":
                raise MediaError("no picture in it")
        return Verdict(question.id, self.name, "x", 0.0, False, evidence=(replies[0].text,))


class CountConfig(DetectorConfig):
    """Options of the corpus test detector."""

    log: str = ""
    breaks: str = ""


class Counting(CorpusDetector[CountConfig]):
    """Works in three stages, each written down when it is really computed."""

    name, version, Config = "counting", "1", CountConfig

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        sums = [self._stage(number, corpus, stages) for number in range(3)]
        for number, question in enumerate(corpus):
            if self.config.breaks == "short" and number == len(corpus) - 1:
                return
            if self.config.breaks == "raises" and number == 15:
                raise ZeroDivisionError("nothing left")
            yield Verdict(question.id, self.name, "sum", (sum(sums) % 10) / 10, False)
        if self.config.breaks == "long":
            yield Verdict("more", self.name, "sum", 0.0, False)

    def _stage(self, number: int, corpus: Corpus, stages: Stages) -> int:
        table = stages.get(f"fold {number}/3")
        if table is None:
            if self.config.breaks == f"stage {number}":
                raise ZeroDivisionError("power cut")
            with Path(self.config.log).open("a") as log:
                log.write(f"{number}\n")
            table = pa.table({"sum": [sum(len(question.text) for question in corpus) + number]})
            stages.put(f"fold {number}/3", table)
        return int(table["sum"][0].as_py())


DETECTORS: dict[str, type[Any]] = {one.name: one for one in (Plain, Judged, Watching, Broken, Counting)}


def questions(number: int) -> Iterator[Question]:
    """Questions with three options and no media."""
    for index in range(number):
        yield Question(f"q{index:03d}", f"What is shown in {index}", "a cat", ("a dog", "a cat", "a tree"), group=f"v{index // 3}")


def bind(detector: Any, engine: LogEngine | None = None, *, judge: LogEngine | None = None) -> BoundDetector:
    """The detector with a logging engine and the local executor."""
    engine = engine or LogEngine(LogConfig())
    engines = {"model": engine} | ({"judge": judge} if judge else {})
    return BoundDetector(detector, engines, LocalExecutor(ExecutorConfig()))


def run(out: Path, *bound: BoundDetector, rows: int = 40, **options: Any) -> list[DetectorCounts]:
    """Runs detectors in `out` with shards of ten rows."""
    return run_detectors(
        Layout(out), questions(rows), bound, options=RunnerOptions(**{"rows_per_part": 10, "open_questions": 16} | options)
    )


def main(out: str, *settings: str) -> int:
    """Runs one detector in a run directory; returns vg's exit codes."""
    given = dict(setting.split("=", 1) for setting in settings)
    rows, name = int(given.pop("rows", "40")), given.pop("detector", "plain")
    engine = LogEngine(LogConfig.model_validate(given))
    detector = DETECTORS[name](PlainConfig())
    judge = LogEngine(LogConfig.model_validate(given)) if name == "judged" else None
    try:
        with RunDirectory.open(Path(out), "detect", passed=given, resolved={"rows": rows, "detector": name}) as directory:
            counts = run(directory.path, bind(detector, engine, judge=judge), rows=rows)
            directory.finish(counts[0].as_json())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
