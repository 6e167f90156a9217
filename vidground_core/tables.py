"""Records on disk: sharded Parquet between steps, written and read as a stream, never whole.

A table is a folder of `part-00000.parquet`, `part-00001.parquet`, …; each part appears at once (written beside, then renamed), so
a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from vidground_core.errors import InputError
from vidground_core.records import Decision, Media, Question, Tally, Verdict

ROWS_PER_PART = 10_000

_TEXT_MAP = pa.map_(pa.string(), pa.string())
_NUMBER_MAP = pa.map_(pa.string(), pa.float64())
_MEDIA = pa.struct([("path", pa.string()), ("type", pa.string()), ("start", pa.float64()), ("end", pa.float64())])
_TALLY = pa.struct([(name, pa.int64()) for name in ("trials", "correct", "refused", "unparsed", "failed")] + [("p_gold", pa.float64())])
QUESTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("kind", pa.string()),
        ("media", pa.list_(_MEDIA)),
        ("group", pa.string()),
        ("source", pa.string()),
        ("tags", _TEXT_MAP),
    ]
)
VERDICT_SCHEMA = pa.schema(
    [
        ("question", pa.string()),
        ("detector", pa.string()),
        ("rule", pa.string()),
        ("shortcut", pa.float64()),
        ("answered", pa.bool_()),
        ("conditions", pa.map_(pa.string(), _TALLY)),
        ("scores", _NUMBER_MAP),
        ("evidence", pa.list_(pa.string())),
    ]
)
DECISION_SCHEMA = pa.schema(
    [
        ("question", pa.string()),
        ("kept", pa.bool_()),
        ("policy", pa.string()),
        ("version", pa.string()),
        ("reason", pa.string()),
        ("numbers", _NUMBER_MAP),
    ]
)


def question_row(question: Question) -> dict[str, Any]:
    """A question as a canonical row (see docs/reference/formats.md)."""
    media = [{"path": m.path, "type": m.type, "start": m.start, "end": m.end} for m in question.media]
    row: dict[str, Any] = {"id": question.id, "question": question.text, "options": list(question.options), "answer": question.answer}
    row |= {"kind": question.kind, "media": media, "group": question.group, "source": question.source}
    return row | {"tags": dict(question.tags)}


def _question(row: dict[str, Any]) -> Question:
    return Question(
        id=row["id"],
        text=row["question"],
        options=tuple(row["options"] or ()),
        answer=row["answer"],
        kind=row["kind"],
        media=tuple(Media(**medium) for medium in row["media"] or ()),
        group=row["group"] or "",
        source=row["source"] or "",
        tags=dict(row["tags"] or ()),
    )


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(verdict, name) for name in ("question", "detector", "rule", "shortcut", "answered")}
    row["conditions"] = [
        (name, {field: getattr(tally, field) for field in Tally.__dataclass_fields__}) for name, tally in verdict.conditions.items()
    ]
    return row | {"scores": list(verdict.scores.items()), "evidence": list(verdict.evidence)}


def _verdict(row: dict[str, Any]) -> Verdict:
    row["conditions"] = {name: Tally(**tally) for name, tally in row["conditions"]}
    return Verdict(**(row | {"scores": dict(row["scores"]), "evidence": tuple(row["evidence"])}))


def _decision_row(decision: Decision) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(decision, name) for name in ("question", "kept", "policy", "version", "reason")}
    return row | {"numbers": list(decision.numbers.items())}


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(**(row | {"numbers": dict(row["numbers"])}))


RecordT = TypeVar("RecordT", Question, Verdict, Decision)
_FORMS: dict[type[Any], tuple[pa.Schema, Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], Any]]] = {
    Question: (QUESTION_SCHEMA, lambda q: question_row(q) | {"tags": list(q.tags.items())}, _question),
    Verdict: (VERDICT_SCHEMA, _verdict_row, _verdict),
    Decision: (DECISION_SCHEMA, _decision_row, _decision),
}


def parts(folder: Path) -> list[Path]:
    """The parts of a table in order; empty where there is none."""
    return sorted(folder.glob("part-*.parquet"))


def count(folder: Path) -> int:
    """Rows of a table, read from the parts' footers only."""
    return sum(pq.read_metadata(part).num_rows for part in parts(folder))


def write_part(path: Path, records: Iterable[RecordT], record_type: type[RecordT]) -> None:
    """Writes one part atomically and durably: beside it, flushed to disk, then renamed over it."""
    schema, to_row, _ = _FORMS[record_type]
    table = pa.Table.from_pylist([to_row(record) for record in records], schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    pq.write_table(table, beside, compression="zstd", row_group_size=ROWS_PER_PART)
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(path)


def read(folder: Path, record_type: type[RecordT], *, batch: int = 1_000) -> Iterator[RecordT]:
    """All records of a table (or of a single part given as a file), in order, a batch at a time. Raises InputError on a broken part."""
    _, _, from_row = _FORMS[record_type]
    for part in [folder] if folder.is_file() else parts(folder):
        try:
            with pq.ParquetFile(part) as file:
                for rows in file.iter_batches(batch_size=batch):
                    for row in rows.to_pylist():
                        yield from_row(row)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{part}: not a readable Parquet file: {error}; delete it and run the step again") from error


class TableWriter(Generic[RecordT]):
    """Writes a table part by part; use as a context manager. Parts of an earlier run are removed first."""

    def __init__(self, folder: Path, record_type: type[RecordT], *, rows_per_part: int = ROWS_PER_PART) -> None:
        self.folder, self.rows_per_part = folder, rows_per_part
        self.record_type: type[RecordT] = record_type
        self.rows = 0
        self._held: list[RecordT] = []
        self._part = 0
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts(folder):
            part.unlink()

    def add(self, record: RecordT) -> None:
        """Adds a record; a full part is written at once."""
        self._held.append(record)
        self.rows += 1
        if len(self._held) >= self.rows_per_part:
            self._write()

    def _write(self) -> None:
        write_part(self.folder / f"part-{self._part:05d}.parquet", self._held, self.record_type)
        self._held, self._part = [], self._part + 1

    def __enter__(self) -> TableWriter[RecordT]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and (self._held or self._part == 0):
            self._write()


def append_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Appends rows to a JSON Lines file, one a line."""
    with path.open("a", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
