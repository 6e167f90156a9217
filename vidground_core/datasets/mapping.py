"""A declarative mapping from the columns of any table to questions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from vidground_core.config import ComponentConfig
from vidground_core.datasets.file_loader import BadRow, gold_at, gold_of, options_of, seconds_of, text_of
from vidground_core.datasets.identifiers import UniqueIds
from vidground_core.datasets.inline_options import listed, split_inline
from vidground_core.datasets.lettering import LetteredOptions, without_letters
from vidground_core.datasets.open_answers import open_kind
from vidground_core.datasets.row_files import Row
from vidground_core.errors import InputError, nearest
from vidground_core.records import KINDS, Kind, Media, Question, SetAside

INLINE = "inline"
_FIELD = re.compile(r"\{([^{}]+)\}")
_ROWS_LOOKED_AT = 1_000
_ABSENT = object()

AnswerForm = Literal["auto", "letter", "index", "index from 1", "text"]


class Columns(ComponentConfig):
    """Which column holds what. A name may lead into nested columns, `a.b`; media, id and group may be templates, `videos/{video}.mp4`."""

    id: str = Field("", description="Column or template of the id; the row's number by default. An id that repeats gets a number, ID#2.")
    question: str = Field("question", description="Column of the question's text.")
    options: str | tuple[str, ...] = Field(
        "",
        description="Column of a list of options, a list of columns with one each, or `inline` where they stand in the question's text.",
    )
    padding: str = Field("", description="Text that fills up the options at their end and is none, such as N/A.")
    answer: str = Field("answer", description="Column of the gold answer.")
    media: str = Field("", description="Column or template of the video's or image's path; a relative one starts from media_root.")
    media_type: str = Field("video", description="video, image, or the column that says which.")
    start: str = Field("", description="Column of the second where the clip begins.")
    end: str = Field("", description="Column of the second where the clip ends.")
    group: str = Field("", description="Column or template of what folds and intervals cluster on; the media path by default.")
    source: str = Field("", description="Column of the source; the data file's name by default.")
    kind: str = Field(
        "", description="A kind such as numerical, or its column; by default multiple choice with options, else by the answer."
    )
    tags: Mapping[str, str] = Field(default_factory=dict, description="Tag to column; tags never reach a prompt.")

    def used(self) -> dict[str, str]:
        """Every column that is named, with the role it has: `{"a0": "options", …}`."""
        found: dict[str, str] = {}
        for role in ("id", "media", "group", "source", "question", "answer", "start", "end"):
            written: str = getattr(self, role)
            found |= dict.fromkeys(_FIELD.findall(written) or ([written] if written else []), role)
        if self.options != INLINE:
            found |= dict.fromkeys((self.options,) if isinstance(self.options, str) else self.options, "options")
        found |= {column: f"tags.{tag}" for tag, column in self.tags.items()}
        found |= {self.kind: "kind"} if self.kind not in KINDS else {}
        found |= {self.media_type: "media_type"} if self.media_type not in ("video", "image") else {}
        found.pop("", None)
        return found


class RowMapping:
    """Makes questions of rows by a mapping; ids count in file order."""

    def __init__(self, columns: Columns, *, answer_is: AnswerForm = "auto", root: Path, source: str) -> None:
        self.columns, self.answer_is, self.root, self.source = columns, answer_is, root, source
        self._ids = UniqueIds()

    def checked(self, rows: Iterator[Row | SetAside], where: str) -> Iterator[Row | SetAside]:
        """The same rows. Raises InputError that names `where` for the first column named that none of the first 1,000 rows has."""
        looked_at: list[Row | SetAside] = []
        for row in rows:
            looked_at.append(row)
            if len(looked_at) == _ROWS_LOOKED_AT:
                break
        read = [row for row in looked_at if isinstance(row, Row)]
        if not read:
            first = next((row for row in looked_at if isinstance(row, SetAside)), None)
            raise InputError(f"{where}: no row can be read" + (f"; the first, line {first.line}: {first.reason}" if first else ""))
        for column, role in self.columns.used().items():
            if all(_value(row, column) is _ABSENT for row in read):
                raise no_column(column, role, {name for row in read for name in row.values}, where)
        return chain(looked_at, rows)

    def identity(self, row: Row) -> str:
        """The id as written, before repeated ones get a number."""
        return _filled(row, self.columns.id) if self.columns.id else str(row.index)

    def question(self, row: Row) -> Question:
        """The row as a question. Raises BadRow."""
        columns = self.columns
        identity = self._ids.take(text_of(self.identity(row), "id"))
        text = text_of(_present(row, columns.question), "question")
        text, lettered = self._options(row, text)
        answer = self._answer(_present(row, columns.answer), lettered)
        path = self._path(row)
        return Question(
            id=identity,
            text=text,
            answer=answer,
            options=lettered.texts if lettered else (),
            kind=self._kind(row, lettered, answer),
            media=(self._medium(row, path),) if path else (),
            group=_filled(row, columns.group) or path or identity,
            source=_text(row, columns.source) or self.source,
            tags={tag: _text(row, column) for tag, column in columns.tags.items() if _text(row, column)},
        )

    def _options(self, row: Row, text: str) -> tuple[str, LetteredOptions | None]:
        columns = self.columns.options
        if columns == INLINE:
            return split_inline(text) or (text, None)
        written = self._written_options(row, columns)
        if not written:
            return text, None
        if isinstance(written, Mapping):
            given = {letter: text_of(option, f"option {letter}") for letter, option in written.items() if option not in (None, "")}
            return text, LetteredOptions(tuple(given), tuple(given.values())) if given else None
        if isinstance(written, list):
            none = (None, "", self.columns.padding) if isinstance(columns, tuple) else (self.columns.padding or None,)
            while written and written[-1] in none:
                written.pop()
        return text, without_letters(options_of(written)) if written else None

    def _written_options(self, row: Row, columns: str | tuple[str, ...]) -> Any:
        if isinstance(columns, str):
            written = _value(row, columns) if columns else None
            return listed(written, columns) if isinstance(written, str) and written.strip() else None if written is _ABSENT else written
        return [None if _value(row, column) is _ABSENT else _value(row, column) for column in columns]

    def _answer(self, value: Any, lettered: LetteredOptions | None) -> str:
        if isinstance(value, float):
            value = int(value) if value.is_integer() else str(value)
        if lettered is None:
            return text_of(value, "answer")
        form = self.answer_is
        if form == "auto":
            form = "index" if isinstance(value, int) and not isinstance(value, bool) else "auto"
        if form in ("index", "index from 1"):
            return _at(value, lettered.texts, base=1 if form == "index from 1" else 0)
        written = text_of(value, "answer")
        if form == "text" or (form == "auto" and written in lettered.texts):
            return gold_of(written, lettered.texts)
        if form == "auto" and written.isdigit():
            raise BadRow(
                f"the answer {written!r} is none of the options; if it is an option's place, say answer_is: index (or index from 1)"
            )
        return lettered.gold(written)

    def _kind(self, row: Row, lettered: LetteredOptions | None, answer: str) -> Kind:
        written: Any = self.columns.kind
        if written and written not in KINDS:
            written = _present(row, written)
        if not written:
            return "multiple choice" if lettered else open_kind(answer)
        if written not in KINDS:
            raise BadRow(f"kind {written!r} is none of {', '.join(KINDS)}")
        if (written == "multiple choice") != (lettered is not None):
            raise BadRow(f"kind {written!r}, and {'there are options' if lettered else 'no options'}")
        return cast(Kind, written)

    def _path(self, row: Row) -> str:
        embedded = _value(row, self.columns.media)
        if not isinstance(embedded, Mapping):
            return _filled(row, self.columns.media)
        if not embedded.get("path"):
            raise BadRow(f"{self.columns.media} holds no path but the file's bytes; write the files out, or leave columns.media out")
        return str(embedded["path"])

    def _medium(self, row: Row, path: str) -> Media:
        written = self.columns.media_type
        kind = written if written in ("video", "image") else _present(row, written)
        if kind not in ("video", "image"):
            raise BadRow(f"media type {kind!r} is neither 'video' nor 'image'")
        start, end = (_seconds(row, column) for column in (self.columns.start, self.columns.end))
        located = path if "://" in path else str(self.root / path)
        return Media(located, cast(Literal["video", "image"], kind), start, end)


def no_column(column: str, role: str, present: Iterable[str], where: str) -> InputError:
    """The error for a column that is named and is not there."""
    return InputError(f"{where}: columns.{role}: there is no column {column!r}; {nearest(column, present)}")


def _value(row: Row, column: str) -> Any:
    """The value of a column, by its whole name or along its dots; `_ABSENT` where there is none."""
    if column in row.values:
        return row.values[column]
    value: Any = row.values
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _present(row: Row, column: str) -> Any:
    value = _value(row, column)
    if value is _ABSENT:
        raise BadRow(f"no {column!r}")
    return value


def _text(row: Row, column: str) -> str:
    value = _value(row, column) if column else None
    return "" if value is None or value is _ABSENT else str(value).strip()


def _filled(row: Row, written: str) -> str:
    """The text of a column, or of a template with each `{column}` replaced; empty where a column is."""
    fields = _FIELD.findall(written)
    if not fields:
        return _text(row, written)
    values = {field: _text(row, field) for field in fields}
    return _FIELD.sub(lambda match: values[match.group(1)], written) if all(values.values()) else ""


def _seconds(row: Row, column: str) -> float | None:
    value = _value(row, column) if column else None
    if value is _ABSENT or value is None or value == "":
        return None
    try:
        return seconds_of(float(value), column)
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, BadRow) else BadRow(f"{column} {value!r} is not a time in seconds") from error


def _at(value: Any, options: Sequence[str], *, base: int) -> str:
    try:
        place = int(str(value)) - base
    except ValueError:
        place = -1
    if not 0 <= place < len(options):
        raise BadRow(f"the answer {value!r} is not the place of an option, {base} to {len(options) - 1 + base}")
    return gold_at(place, options, "answer")
