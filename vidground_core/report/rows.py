"""Questions with what was said of them, as one stream over several tables; nothing is held but the row at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from vidground_core import tables
from vidground_core.errors import RunDirectoryError
from vidground_core.records import Decision, Question, Verdict
from vidground_core.runs.judged import detector_folders
from vidground_core.runs.layout import Layout

from .places import Places

RecordT = TypeVar("RecordT", Question, Verdict, Decision)


@dataclass(frozen=True, slots=True)
class Row:
    """A question, its verdicts by detector name (those there are), and its decision where a filter has run."""

    question: Question
    verdicts: Mapping[str, Verdict]
    decision: Decision | None


class _Follower(Generic[RecordT]):
    """Hands out a table's records while the ids they belong to pass in the same order; gaps are allowed, other orders are not."""

    def __init__(self, folder: Path, record_type: type[RecordT]) -> None:
        self.folder = folder
        self._records: Iterator[RecordT] = tables.read(folder, record_type)
        self._next: RecordT | None = next(self._records, None)

    def take(self, question: str) -> RecordT | None:
        """The record of that question, None where the table has none here."""
        found = self._next
        if found is None or _id(found) != question:
            return None
        self._next = next(self._records, None)
        return found

    def close(self) -> None:
        """Raises RunDirectoryError when records are left over: the tables do not belong together."""
        if self._next is not None:
            raise RunDirectoryError(
                f"{self.folder}: the record of question {_id(self._next)!r} does not follow the order of the questions beside it; "
                "the tables are of different runs, or a step is still running: run the step again"
            )


def _id(record: Question | Verdict | Decision) -> str:
    return record.id if isinstance(record, Question) else record.question


def read_rows(places: Places) -> Iterator[Row]:
    """All questions of a run in data order with their verdicts and decisions. Raises RunDirectoryError where tables do not match."""
    if places.questions is None:
        return
    folders = detector_folders(Layout(places.verdicts)) if places.verdicts else {}
    judged = [_Follower(folder, Verdict) for folder in folders.values()]
    decided = _Follower(places.decisions / "decisions", Decision) if places.decisions else None
    for question in _questions(places.questions):
        found = [verdict for table in judged if (verdict := table.take(question.id)) is not None]
        yield Row(question, {verdict.detector: verdict for verdict in found}, decided.take(question.id) if decided else None)
    for table in (*judged, *((decided,) if decided else ())):
        table.close()


def _questions(folder: Path) -> Iterator[Question]:
    if (folder / "questions").is_dir():
        yield from tables.read(folder / "questions", Question)
        return
    yield from _filtered_questions(folder)


def _filtered_questions(folder: Path) -> Iterator[Question]:
    """Kept and dropped questions put back into the order of the decisions."""
    kept, dropped = _Follower(folder / "kept", Question), _Follower(folder / "dropped", Question)
    for decision in tables.read(folder / "decisions", Decision):
        question = (kept if decision.kept else dropped).take(decision.question)
        if question is not None:
            yield question
    kept.close()
    dropped.close()
