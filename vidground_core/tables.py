"""Records on disk: sharded Parquet between steps, written and read as a stream, never whole.

A table is a folder of `part-00000.parquet`, `part-00001.parquet`, …; each part appears at once (written beside, then renamed), so
a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from vidground_core.columns import records_of, table_of
from vidground_core.errors import InputError
from vidground_core.records import Decision, Question, Verdict

ROWS_PER_PART = 10_000


def question_row(question: Question) -> dict[str, Any]:
    """A question as a canonical row (see docs/reference/formats.md)."""
    media = [{"path": m.path, "type": m.type, "start": m.start, "end": m.end} for m in question.media]
    row: dict[str, Any] = {"id": question.id, "question": question.text, "options": list(question.options), "answer": question.answer}
    row |= {"kind": question.kind, "media": media, "group": question.group, "source": question.source}
    return row | {"tags": dict(question.tags)}


RecordT = TypeVar("RecordT", Question, Verdict, Decision)


def parts(folder: Path) -> list[Path]:
    """The parts of a table in order; empty where there is none."""
    return sorted(folder.glob("part-*.parquet"))


def count(folder: Path) -> int:
    """Rows of a table, read from the parts' footers only."""
    return sum(pq.read_metadata(part).num_rows for part in parts(folder))


def write_part(path: Path, records: Iterable[RecordT], record_type: type[RecordT]) -> None:
    """Writes one part atomically and durably: beside it, flushed to disk, then renamed over it."""
    table = table_of(list(records), record_type)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    pq.write_table(table, beside, compression="zstd", row_group_size=ROWS_PER_PART)
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(path)


def read(folder: Path, record_type: type[RecordT], *, batch: int = 1_000) -> Iterator[RecordT]:
    """All records of a table (or of a single part given as a file), in order, a batch at a time. Raises InputError on a broken part."""
    for rows in _batches(folder, batch):
        yield from records_of(rows, record_type)


def read_ids(folder: Path) -> Iterator[str]:
    """The ids of a table of questions (or of a single part), in order, without the rest. Raises InputError on a broken part."""
    for rows in _batches(folder, ROWS_PER_PART, ["id"]):
        yield from rows.column(0).to_pylist()


def _batches(folder: Path, size: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    for part in [folder] if folder.is_file() else parts(folder):
        try:
            with pq.ParquetFile(part) as file:
                yield from file.iter_batches(batch_size=size, columns=columns)
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
