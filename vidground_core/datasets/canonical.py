"""VidGround's own rows, as JSON Lines or Parquet: what every step writes and any tool can."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, FileLoader, gold_of, options_of, require, seconds_of, text_of
from vidground_core.datasets.many_files import read_rows
from vidground_core.datasets.row_files import Row, find_path, first_record, is_json_array, read_json_lines, read_parquet
from vidground_core.errors import InputError
from vidground_core.records import KINDS, Kind, Media, Question, SetAside

_REQUIRED = ("id", "question", "answer")
_OPTIONAL = ("options", "kind", "media", "group", "source", "tags")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TABLES = ("kept", "questions")
_EXPORT = "export.json"


class CanonicalConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field("", description="Folder that relative media paths start from; the data file's own folder by default.")


class CanonicalLoader(FileLoader[CanonicalConfig]):
    """Canonical rows: a JSON Lines or Parquet file, a folder of them, or the output of `vg detect`, `vg filter` or `vg export`.

    Of a run directory the questions are read: `kept/` of a filter, `questions/` of a detection; of an export its rows, of which
    the whole questions stand in a column of their own. With options, `answer` is the text of one
    or its letter; where it could be both, it is the text.
    """

    name = "canonical"
    version = "1"
    Config = CanonicalConfig

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first row has `id`, `question` and `answer`, and nothing that a canonical row has not: that is another layout."""
        export = _export(path)
        if export is not None:
            return bool(export[0])
        files = _files(path)
        keys = set(_first_keys(files[0])) if files else set()
        return keys.issuperset(_REQUIRED) and keys.issubset((*_REQUIRED, *_OPTIONAL))

    def load(self) -> Iterator[Question | SetAside]:
        """Every row in file order, part by part."""
        path = find_path(self.config.path, loader=self.name, wants="a JSON Lines or Parquet file, or a folder of them")
        files, record = _export(path) or (_files(path), "")
        if not files:
            raise InputError(
                f"{self.name}: {str(path)!r} holds no questions; expected .jsonl or .parquet files, or the output of vg detect or vg filter"
            )
        for file in files:
            self._root = Path(self.config.media_root).expanduser().resolve() if self.config.media_root else file.resolve().parent
            rows = _recorded(read_rows(file), record) if record else _rows(file)
            yield from self.questions(rows, file, _REQUIRED)

    def identity(self, row: Row) -> str:
        """The `id` as written."""
        return str(row.values.get("id", ""))

    def question(self, row: Row) -> Question:
        """One canonical row."""
        require(row, _REQUIRED)
        values = row.values
        options = options_of(values.get("options") or ())
        media = _media(values.get("media"))
        identity = text_of(values["id"], "id")
        first_path = media[0].path if media else ""
        return Question(
            id=identity,
            text=text_of(values["question"], "question"),
            answer=_answer(text_of(values["answer"], "answer"), options),
            options=options,
            kind=_kind(values.get("kind"), options),
            media=tuple(Media(self._located(medium.path), medium.type, medium.start, medium.end) for medium in media),
            group=_optional_text(values.get("group"), "group") or first_path or identity,
            source=_optional_text(values.get("source"), "source"),
            tags=_tags(values.get("tags")),
        )

    def _located(self, path: str) -> str:
        return path if "://" in path else str(self._root / path)


def _export(path: Path) -> tuple[list[Path], str] | None:
    """The files of rows of an export, and the column that holds a whole question as JSON text; None where it is no export."""
    try:
        manifest = json.loads((path / _EXPORT).read_text(encoding="utf-8"))
        return [path / name for name in manifest["loads"]], manifest["record"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _recorded(rows: Iterator[Row | SetAside], record: str) -> Iterator[Row | SetAside]:
    """The canonical rows that stand as JSON text in a column; dots lead into nested columns."""
    for row in rows:
        if isinstance(row, SetAside):
            yield row
            continue
        written: Any = row.values
        for name in record.split("."):
            written = written.get(name) if isinstance(written, Mapping) else None
        try:
            values = json.loads(written)
        except (TypeError, ValueError):
            yield SetAside(row.file, row.line, f"the column {record!r} holds no question as JSON text")
            continue
        yield Row(row.file, row.line, row.index, values)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() in (".parquet", *_TEXT_SUFFIXES) else []
    if not path.is_dir():
        return []
    if (path / "run.json").is_file():
        path = next((path / name for name in _TABLES if (path / name).is_dir()), path)
    return sorted(path.glob("*.parquet")) or sorted(path.glob("*.jsonl"))


def _first_keys(file: Path) -> Mapping[str, Any] | list[str]:
    if file.suffix.lower() != ".parquet":
        return {} if is_json_array(file) else first_record(file)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names: list[str] = pq.read_schema(file).names
    except (pa.ArrowException, OSError):
        return []
    return names


def _rows(file: Path) -> Iterator[Row | SetAside]:
    if file.suffix.lower() == ".parquet":
        return read_parquet(file)
    if is_json_array(file):
        raise InputError(f"{file}: a JSON array; canonical rows are JSON Lines, one object a line")
    return read_json_lines(file)


def _answer(answer: str, options: tuple[str, ...]) -> str:
    if not options:
        return answer
    if answer not in options and len(answer) == 1 and answer in _LETTERS[: len(options)]:
        answer = options[_LETTERS.index(answer)]
    return gold_of(answer, options)


def _kind(value: Any, options: tuple[str, ...]) -> Kind:
    if value is None or value == "":
        return "multiple choice" if options else "free-form"
    if value not in KINDS:
        raise BadRow(f"kind {value!r} is none of {', '.join(KINDS)}")
    if value == "multiple choice" and not options:
        raise BadRow("kind 'multiple choice', and no options")
    return cast(Kind, value)


def _media(values: Any) -> tuple[Media, ...]:
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise BadRow(f"media {values!r} is not a list of objects with a path")
    return tuple(_medium(value) for value in values)


def _medium(value: Mapping[str, Any]) -> Media:
    kind = value.get("type") or "video"
    if kind not in ("video", "image"):
        raise BadRow(f"media type {kind!r} is neither 'video' nor 'image'")
    start, end = seconds_of(value.get("start"), "media start"), seconds_of(value.get("end"), "media end")
    if end is not None and end <= (start or 0.0):
        raise BadRow(f"media end {end:g} is not after its start {start or 0.0:g}")
    return Media(text_of(value.get("path"), "media path"), cast(Literal["video", "image"], kind), start, end)


def _optional_text(value: Any, name: str) -> str:
    return "" if value is None or value == "" else text_of(value, name)


def _tags(values: Any) -> dict[str, str]:
    if values is None:
        return {}
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except ValueError as error:
            raise BadRow(f"tags {values!r} are not JSON") from error
    pairs = values.items() if isinstance(values, Mapping) else values
    try:
        named = {str(name): value for name, value in pairs}
    except (TypeError, ValueError) as error:
        raise BadRow(f"tags {values!r} are not an object") from error
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in named.items()
        if value is not None
    }
