"""The runner: questions into verdicts, by any number of detectors, resumable at every moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from vidground_core.detectors.base import CorpusDetector, Detector, ProbeDetector
from vidground_core.errors import EngineError
from vidground_core.events import Event
from vidground_core.records import Question, SetAside
from vidground_core.runs.corpus import TableCorpus
from vidground_core.runs.corpus_pass import run_corpus_detector
from vidground_core.runs.layout import Layout
from vidground_core.runs.loop import run_until_done
from vidground_core.runs.options import (
    BoundDetector,
    DetectorCounts,
    Progress,
    RunnerOptions,
    check_capabilities,
    check_engines,
    check_failures,
)
from vidground_core.runs.probing import ProbePass
from vidground_core.runs.session import Session
from vidground_core.runs.set_aside import SetAsideLog
from vidground_core.runs.shards import ShardCounts, VerdictShards
from vidground_core.runs.shares import write_share
from vidground_core.runs.store import ReplyStore


def _unheard(event: Event) -> None:
    """Nobody listens to events."""


def run_detectors(
    layout: Layout,
    rows: Iterable[Question | SetAside],
    bound: Sequence[BoundDetector],
    *,
    options: RunnerOptions | None = None,
    on_event: Callable[[Event], None] = _unheard,
    progress: Progress | None = None,
) -> list[DetectorCounts]:
    """Writes the table of questions and one table of verdicts a detector below `layout.root`; returns the counts in the order of `bound`.

    Run again with the same arguments it goes on where it was left: a complete table of questions is not read from `rows` again, finished
    shards are skipped, stored replies are not asked for again, and an engine is started only for an ask without a reply. Asks that stayed
    failed are tried again. Ctrl-C waits a little for the replies under way and raises KeyboardInterrupt.

    Raises FinishedWithFailuresError (with the counts) after all is finished where more asks failed than allowed, StoppedError where the
    budget is used up, EngineError where an engine cannot do what a detector needs or dies, PluginError where a detector breaks, InputError
    where no question can be read, ConfigError where a share of the questions is to be judged by a corpus detector.
    """
    options = options or RunnerOptions()
    ready = [_adapted(one, options) for one in bound]
    set_aside = SetAsideLog(layout.set_aside_file)
    questions, corpus = write_share(layout, rows, set_aside, options.shard, rows_per_part=options.rows_per_part)
    with ReplyStore(options.store or layout.store_file) as store:
        session = Session(layout, questions, TableCorpus(corpus), store, set_aside, options, on_event, progress)
        results = [_run_one(one, session) for one in ready]
        options.batch.close(store)
    counts = [count for count, _ in results]
    check_failures(counts, options.max_failures, next((error for _, error in reversed(results) if error), ""))
    return counts


def _adapted(bound: BoundDetector, options: RunnerOptions) -> BoundDetector:
    """The detector fitted to what its engine can, after checking that this is enough."""
    detector = bound.detector
    check_engines(bound, options)
    if isinstance(detector, CorpusDetector):
        return bound
    engine = bound.engines.get("model")
    if engine is None or bound.executor is None:
        raise EngineError(f"the detector {detector.name!r} asks a model, but no engine is bound to it; name an engine and a model")
    detector = detector.adapted(engine.can)
    check_capabilities(detector, engine)
    return replace(bound, detector=detector)


def _run_one(bound: BoundDetector, session: Session) -> tuple[DetectorCounts, str]:
    """One detector over all questions; its counts and what the last failed ask said."""
    detector = bound.detector
    name, step = bound.folder or detector.name, session.options.step
    session.on_event(Event("step-started", step, {"detector": detector.name, "questions": session.questions.rows}))
    shards = VerdictShards(session.layout.verdicts_folder(name), bound, session.questions)
    sent, errors = 0, list[str]()
    counts: DetectorCounts
    if isinstance(detector, CorpusDetector):
        total = run_corpus_detector(bound, detector, shards, session)
        counts = _counts(detector, total, session)
    else:
        judging = _probe(bound, detector, shards, session)
        sent, errors = judging.sent, [reply.error for reply in judging.failed]
        counts = _probe_counts(_counts(detector, judging.counts, session), judging)
    session.on_event(Event("step-finished", step, {"detector": detector.name, "asked": sent, "failed": len(errors)}))
    return counts, errors[-1] if errors else ""


def _counts(detector: Detector[Any], total: ShardCounts, session: Session) -> DetectorCounts:
    shards = {"refused": total.refused, "unparsed": total.unparsed, "media": total.media}
    return DetectorCounts(detector.name, detector.version, reused=total.asks, verdicts=session.questions.rows, **shards)


def _probe_counts(counts: DetectorCounts, judging: ProbePass) -> DetectorCounts:
    spent = judging.spent
    return replace(
        counts,
        asked=judging.sent,
        # Postponed questions are in no shard yet, and what they have replies to only the pass has counted.
        reused=judging.reused if judging.postponed else counts.reused - judging.sent,
        failed=len(judging.failed),
        verdicts=counts.verdicts - judging.postponed,
        postponed=judging.postponed,
        prompt_tokens=spent.prompt_tokens,
        generated_tokens=spent.generated_tokens,
        cost=spent.cost,
    )


def _probe(bound: BoundDetector, detector: ProbeDetector[Any], shards: VerdictShards, session: Session) -> ProbePass:
    judging = ProbePass(bound, detector, shards, session)
    try:
        run_until_done(judging.run(), stop=judging.stop, grace=session.options.grace)
    finally:
        session.store.flush()
    return judging
