"""One corpus detector over all questions: its stages kept, its verdicts written shard by shard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from vidground_core.detectors.base import CorpusDetector
from vidground_core.errors import PluginError, VidGroundError
from vidground_core.events import Event
from vidground_core.records import Verdict
from vidground_core.runs.judging import check_verdict
from vidground_core.runs.options import BoundDetector
from vidground_core.runs.session import Session
from vidground_core.runs.shards import ShardCounts, VerdictShards, config_digest
from vidground_core.runs.stages import FolderStages
from vidground_core.runs.standing import Standing
from vidground_core.tables import read_ids


def run_corpus_detector(bound: BoundDetector, detector: CorpusDetector[Any], shards: VerdictShards, session: Session) -> ShardCounts:
    """Judges all questions and commits the open shards; does nothing when all are finished.

    Raises PluginError that names the detector where it raises, or does not give one verdict a question in the questions' order.
    """
    table = session.questions
    finished = {part: counts for part, _ in table.parts if (counts := shards.finished(part)) is not None}
    if len(finished) == len(table.parts):
        return sum(finished.values(), ShardCounts())
    verdicts = _blamed(detector, detector.judge_all(session.corpus, _stages(bound, session)))
    total, judged = ShardCounts(), 0
    for part, rows in table.parts:
        shard = [_next_verdict(detector, question, verdicts) for question in read_ids(table.folder / part)]
        total += finished[part] if part in finished else shards.commit(part, shard, ShardCounts())
        judged += rows
        session.advance(detector.name, Standing(judged, table.rows, judged))
        session.on_event(
            Event("shard-finished", session.options.step, {"detector": detector.name, "part": part, "rows": rows, "failed": 0})
        )
    if next(verdicts, None) is not None:
        raise PluginError(f"the detector {detector.name!r} broke its contract: it gave more verdicts than there are questions")
    return total


def _stages(bound: BoundDetector, session: Session) -> FolderStages:
    name = bound.folder or bound.detector.name
    key = f"{bound.detector.version}\n{config_digest(bound)}\n{session.questions.digest}"
    return FolderStages(session.layout.stages_folder(name) / hashlib.sha256(key.encode()).hexdigest()[:16])


def _next_verdict(detector: CorpusDetector[Any], question: str, verdicts: Iterator[Verdict]) -> Verdict:
    verdict = next(verdicts, None)
    if verdict is None:
        raise PluginError(f"the detector {detector.name!r} broke its contract: no verdict on {question!r} and those after it")
    return check_verdict(detector.name, question, verdict)


def _blamed(detector: CorpusDetector[Any], verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
    try:
        yield from verdicts
    except VidGroundError:
        raise
    except Exception as error:
        raise PluginError(f"the detector {detector.name!r} failed: {type(error).__name__}: {error}") from error
