"""Runs a detector on a few questions without a run directory, a store or a runner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from vidground_core.detectors.base import Corpus, CorpusDetector, Detector, ProbeDetector
from vidground_core.engines.base import Engine
from vidground_core.records import Ask, Question, Reply, Verdict
from vidground_core.testing.corpus import ListCorpus, MemoryStages


def ask(engine: Engine[Any], asks: Sequence[Ask]) -> list[Reply]:
    """The engine's replies in the order of the asks. Raises AssertionError where it answers one not exactly once."""

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for number, each in enumerate(asks):
            yield str(number), each

    async def collect() -> dict[str, Reply]:
        found: dict[str, Reply] = {}
        async for token, reply in engine.answer(feed()):
            if token in found or not (token.isdigit() and int(token) < len(asks)):
                raise AssertionError(f"the engine answered token {token!r}, which it was not given or had answered already")
            found[token] = reply
        return found

    replies = asyncio.run(collect())
    if len(replies) != len(asks):
        raise AssertionError(f"the engine answered {len(replies)} of {len(asks)} asks")
    return [replies[str(number)] for number in range(len(asks))]


def run_probe(detector: ProbeDetector[Any], question: Question, engine: Engine[Any], corpus: Corpus | None = None) -> Verdict:
    """One question's verdict: the detector is adapted to the engine, its generator driven to its end."""
    rounds = detector.adapted(engine.can).judge(question, corpus or ListCorpus([question]))
    try:
        probes = next(rounds)
        while True:
            probes = rounds.send(ask(engine, [probe.ask for probe in probes]))
    except StopIteration as stop:
        verdict: Verdict = stop.value
        return verdict


def run_detector(
    detector: Detector[Any], questions: Sequence[Question], engine: Engine[Any], stages: MemoryStages | None = None
) -> list[Verdict]:
    """The verdicts of either kind of detector, in the order of the questions; a corpus detector needs no engine."""
    corpus = ListCorpus(questions)
    if isinstance(detector, CorpusDetector):
        return list(detector.judge_all(corpus, MemoryStages() if stages is None else stages))
    if not isinstance(detector, ProbeDetector):
        raise TypeError(f"{type(detector).__name__} is neither a ProbeDetector nor a CorpusDetector")
    return [run_probe(detector, question, engine, corpus) for question in questions]
