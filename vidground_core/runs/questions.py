"""The first pass: rows of the loader into the table of questions, once; every later step reads that table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from vidground_core.errors import InputError
from vidground_core.records import Question, SetAside
from vidground_core.runs.durable import read_json, write_json
from vidground_core.runs.layout import Layout
from vidground_core.runs.set_aside import SetAsideLog, read_set_aside
from vidground_core.tables import ROWS_PER_PART, TableWriter, parts

_COMPLETE = "complete.json"


@dataclass(frozen=True, slots=True)
class QuestionTable:
    """A complete table of questions: `parts` are (file name, rows) in order, `digest` the sha256 over the parts' bytes."""

    folder: Path
    parts: tuple[tuple[str, int], ...]
    digest: str

    @property
    def rows(self) -> int:
        """Number of questions."""
        return sum(rows for _, rows in self.parts)


def write_questions(
    layout: Layout, rows: Iterable[Question | SetAside], set_aside: SetAsideLog, *, rows_per_part: int = ROWS_PER_PART
) -> QuestionTable:
    """Streams rows into the table of questions; a table that is complete already is taken as it is and `rows` is not touched.

    Rows that cannot be used go to `set_aside`: those the loader set aside, repeated ids, empty ids, a gold answer that is no option.
    Raises InputError where no question is left.
    """
    table = complete_questions(layout.questions_folder)
    if table is not None:
        return table
    folder = layout.questions_folder
    (folder / _COMPLETE).unlink(missing_ok=True)
    with TableWriter(folder, Question, rows_per_part=rows_per_part) as writer:
        for row in _usable(rows):
            if isinstance(row, SetAside):
                set_aside.add(row)
            else:
                writer.add(row)
    if writer.rows == 0:
        first = next(iter(read_set_aside(layout.set_aside_file)), None)
        why = f"; the first: {first.reason}" if first else ""
        raise InputError(
            f"no question could be read: {len(set_aside)} rows were set aside{why}; the reasons stand in {layout.set_aside_file}"
        )
    written = tuple((part.name, pq.read_metadata(part).num_rows) for part in parts(folder))
    digest = hashlib.sha256("".join(_digest(part) for part in parts(folder)).encode()).hexdigest()
    write_json(folder / _COMPLETE, {"parts": written, "digest": digest})
    return QuestionTable(folder, written, digest)


def complete_questions(folder: Path) -> QuestionTable | None:
    """The table of questions in `folder` where an earlier session finished writing it, else None."""
    complete = read_json(folder / _COMPLETE)
    if complete is None or [name for name, _ in complete["parts"]] != [part.name for part in parts(folder)]:
        return None
    return QuestionTable(folder, tuple((name, rows) for name, rows in complete["parts"]), complete["digest"])


def table_counts(layout: Layout) -> tuple[int, int]:
    """(questions, rows and media set aside) of a run; (0, …) while the table of questions is not complete."""
    table = complete_questions(layout.questions_folder)
    return table.rows if table else 0, len(read_set_aside(layout.set_aside_file))


def _usable(rows: Iterable[Question | SetAside]) -> Iterator[Question | SetAside]:
    first_seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if isinstance(row, SetAside):
            yield row
            continue
        reason = ""
        if not row.id:
            reason = f"row {number} has no id"
        elif row.id in first_seen:
            reason = f"row {number}: the id {row.id!r} was seen before, in row {first_seen[row.id]}; ids must be unique"
        elif row.options and row.answer not in row.options:
            reason = f"row {number}: the answer {row.answer!r} is none of the options"
        first_seen.setdefault(row.id, number)
        yield SetAside(row.source, None, reason, row.id) if reason else row


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
