"""Rows out of CSV, JSON and Parquet files; what cannot be read becomes a `SetAside` with its line, never a crash.

All are read as a stream, a JSON array too: Video-R1's is one of 263,071 rows.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.datasets.json_text import BETWEEN, BLANKS, JsonText
from vidground_core.errors import InputError
from vidground_core.records import SetAside

HEAD_BYTES = 1 << 16
_UNRECOGNISED_ROWS = 1_000
_NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands in a file. `line` counts from 1 (of a Parquet file: the row), `index` counts rows from 0."""

    file: str
    line: int
    index: int
    values: Mapping[str, Any]


def find_file(path: str, *, loader: str, wants: str) -> Path:
    """The file at `path`. Raises InputError where there is none, naming the nearest that exists."""
    found = find_path(path, loader=loader, wants=wants)
    if found.is_dir():
        raise InputError(f"{loader}: {path!r} is a folder, and {loader} reads {wants}; {_contents(found)}")
    return found


def find_path(path: str, *, loader: str, wants: str) -> Path:
    """The file or folder at `path`. Raises InputError where there is none, naming the nearest that exists."""
    if not path:
        raise InputError(f"{loader} needs a path: write {loader}:PATH, where PATH is {wants}")
    found = Path(path).expanduser()
    if not found.exists():
        raise InputError(f"{loader}: {path!r} does not exist; {_nearest_existing(found)}")
    return found


def _nearest_existing(missing: Path) -> str:
    while not missing.parent.is_dir():
        missing = missing.parent
    return _contents(missing.parent, missing.name)


def _contents(folder: Path, wanted: str = "") -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{hint}in {str(folder)!r} there is: {', '.join(names[:_NAMES_SHOWN]) or 'nothing'}{more}"


def known_layout(rows: Iterator[Row | SetAside], path: Path, expected: Sequence[str]) -> Iterator[Row | SetAside]:
    """The same rows, once one of them has all the keys `expected`; rows before it that lack some are set aside.

    Raises InputError where no row has them: the file is empty, unreadable, or of another layout.
    """
    held: list[SetAside] = []
    found: list[str] = []
    for row in rows:
        if isinstance(row, Row) and all(key in row.values for key in expected):
            yield from held
            yield row
            yield from rows
            return
        if isinstance(row, Row):
            found = found or sorted(map(str, row.values))
            row = SetAside(row.file, row.line, f"no {' and no '.join(repr(key) for key in expected if key not in row.values)}")
        held.append(row)
        if len(held) == _UNRECOGNISED_ROWS:
            break
    if not held:
        raise InputError(f"{path}: there are no rows in it; expected rows with {', '.join(expected)}")
    if not found:
        raise InputError(f"{path}: no row can be read; the first, line {held[0].line}: {held[0].reason}")
    raise InputError(f"{path}: not this layout: expected the keys {', '.join(expected)}, found {', '.join(found)}")


def read_csv(path: Path, *, delimiter: str = ",") -> Iterator[Row | SetAside]:
    """The rows of a CSV or TSV file with a header, as mappings of text. Bytes that are not UTF-8 stay in the text as surrogates."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        header: list[str] = []
        index, last = 0, 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield SetAside(str(path), reader.line_num, f"not a readable CSV row: {error}")
                last = reader.line_num
                continue
            first, last = last + 1, reader.line_num
            if not header:
                header = cells
            elif len(cells) == len(header):
                yield Row(str(path), last, index, dict(zip(header, cells, strict=True)))
                index += 1
            elif cells:
                spans = f"; it runs from line {first} to {last}, so a quote may be open" if first < last else ""
                yield SetAside(str(path), last, f"{len(cells)} cells, where the header has {len(header)}{spans}")


def read_json_lines(path: Path) -> Iterator[Row | SetAside]:
    """The objects of a JSON Lines file; blank lines are passed over."""
    index = 0
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                values = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                yield SetAside(str(path), line, f"not valid UTF-8 at byte {error.start + 1} of the line")
                continue
            except (ValueError, RecursionError) as error:
                yield SetAside(str(path), line, f"not valid JSON: {error}")
                continue
            if isinstance(values, dict):
                yield Row(str(path), line, index, values)
                index += 1
            else:
                yield SetAside(str(path), line, f"a JSON {type(values).__name__}, where one object a line is expected")


def read_json_array(path: Path) -> Iterator[Row | SetAside]:
    """The objects of a file that is one JSON array, up to where it breaks, read a window of about a megabyte at a time.

    Bytes that are not UTF-8 stay in the text as surrogates.
    """
    with path.open("rb") as file:
        text = JsonText(file)
        if text.skip(BLANKS) != "[":
            yield SetAside(str(path), 1, "not a JSON array")
            return
        text.place += 1
        index = 0
        while (ahead := text.skip(BETWEEN)) != "]":
            line = text.line
            if not ahead:
                yield SetAside(str(path), line, "the file ends inside the array")
                return
            try:
                values = text.value()
            except (ValueError, RecursionError) as error:
                yield SetAside(str(path), line, _broken(error))
                return
            if isinstance(values, dict):
                yield Row(str(path), line, index, values)
            else:
                yield SetAside(str(path), line, f"a JSON {type(values).__name__}, where an object is expected")
            index += 1


def read_json_members(path: Path) -> Iterator[Row | SetAside]:
    """The members of a file that is one JSON object, as rows with `key` and `value`, up to where it breaks; read like an array."""
    with path.open("rb") as file:
        text = JsonText(file)
        if text.skip(BLANKS) != "{":
            yield SetAside(str(path), 1, "not a JSON object")
            return
        text.place += 1
        index = 0
        while (ahead := text.skip(BETWEEN)) != "}":
            line = text.line
            try:
                key = text.value() if ahead else ""
                if text.skip(BLANKS) != ":":
                    yield SetAside(str(path), line, f"no value for {key!r}" if ahead else "the file ends inside the object")
                    return
                text.place += 1
                text.skip(BLANKS)
                value = text.value()
            except (ValueError, RecursionError) as error:
                yield SetAside(str(path), line, _broken(error))
                return
            yield Row(str(path), line, index, {"key": key, "value": value})
            index += 1


def _broken(error: Exception) -> str:
    return f"not valid JSON: {error.msg if isinstance(error, json.JSONDecodeError) else error}; nothing after it can be read"


def _skip(text: str, place: int, passed: str) -> int:
    while place < len(text) and text[place] in passed:
        place += 1
    return place


def read_parquet(path: Path, *, batch: int = 1_000) -> Iterator[Row | SetAside]:
    """The rows of a Parquet file, a batch at a time. Raises InputError where the file is not readable Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            index = 0
            for rows in file.iter_batches(batch_size=batch):
                for row in _batch_rows(rows):
                    yield Row(str(path), index + 1, index, row) if row is not None else SetAside(str(path), index + 1, "not valid UTF-8")
                    index += 1
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {error}") from error


def _batch_rows(rows: Any) -> list[dict[str, Any] | None]:
    try:
        return list(rows.to_pylist())
    except UnicodeDecodeError:
        return [_single_row(rows.slice(place, 1)) for place in range(rows.num_rows)]


def _single_row(row: Any) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = row.to_pylist()[0]
    except UnicodeDecodeError:
        return None
    return values


def first_record(path: Path) -> Mapping[str, Any]:
    """The first object of a JSON Lines file or JSON array, read from the first bytes; empty where there is none."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")
    start = _skip(head, 0, " \t\r\n[")
    try:
        values, _ = json.JSONDecoder().raw_decode(head, start)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def is_json_array(path: Path) -> bool:
    """Whether the first character of the file opens a JSON array."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def csv_header(path: Path, *, delimiter: str = ",") -> list[str]:
    """The names in the first line of a CSV or TSV file."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")
    return next(csv.reader(head.splitlines()[:1], delimiter=delimiter), [])
