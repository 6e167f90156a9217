"""Files of rows, written as a stream: JSON Lines, one JSON array, Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson

_ROWS_A_GROUP = 10_000
_HELD_BYTES = 1 << 20


class RowFile(Protocol):
    """A file that rows are added to; `close` ends it."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row."""
        ...

    def close(self) -> None:
        """Writes what is held, and closes the file."""
        ...


class JsonLinesFile:
    """One JSON object a line, UTF-8."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=_HELD_BYTES)

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a line."""
        self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class JsonArrayFile:
    """One JSON array, an object a line, UTF-8."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=_HELD_BYTES)
        self._before = b"[\n"

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds an element."""
        self._file.write(self._before + orjson.dumps(row))
        self._before = b",\n"

    def close(self) -> None:
        """Ends the array; without rows it is an empty one."""
        self._file.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")
        self._file.close()


class ParquetFile:
    """Parquet with row groups of 10,000 rows, compressed; rows follow the schema given."""

    def __init__(self, path: Path, schema: Any) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._held: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row; a full group is written at once."""
        self._held.append(row)
        if len(self._held) >= _ROWS_A_GROUP:
            self._write()

    def close(self) -> None:
        """Writes the last group; a file without rows has the schema all the same."""
        if self._held:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        import pyarrow as pa

        from vidground_core.columns import array_of

        columns = [array_of([row[field.name] for row in self._held], field.type) for field in self._schema]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._held = []
