"""A reply store that is only read, a piece at a time, so that whoever writes it is never held up for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from vidground_core.errors import InputError
from vidground_core.runs.layout import Layout
from vidground_core.runs.store_file import APPLICATION, PATIENCE, StoreDamagedError, beside, explained, pragma, refuse_newer
from vidground_core.runs.store_rows import Row, upgraded
from vidground_core.runs.store_salvage import RowReader

ROWS_TOGETHER = 2_000
UNKNOWN_ENGINE = "(not recorded)"
"""Shown for replies of a store of version 1, which did not keep the engine."""


def store_file(path: Path) -> Path:
    """The store at `path`: a file, or a run directory that has one. Raises InputError where there is none."""
    file = Layout(path).store_file if path.is_dir() else path
    if not file.exists():
        folder = path if path.is_dir() else path.parent
        there = sorted(other.name for other in folder.glob("*.sqlite")) if folder.is_dir() else []
        said = f"{folder} has {', '.join(there)}" if there else f"no .sqlite file is in {folder}"
        raise InputError(f"{str(path)!r}: no reply store is there; {said}; give a store's file, or the --out directory of a run")
    return file


class StoreSource:
    """A store opened for reading only; use as a context manager. It may be written meanwhile.

    Raises InputError where there is no store, RunDirectoryError where the file is no store, is of a newer version or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = store_file(path)
        # Without a log nobody has it open, and "immutable" leaves no files of SQLite in a folder that may not be ours to write.
        mode = "mode=ro" if beside(self.path, "-wal").exists() else "immutable=1"
        with explained(self.path):
            self._connection = sqlite3.connect(f"file:{quote(str(self.path.resolve()))}?{mode}", uri=True, timeout=PATIENCE)
        self._connection.text_factory = bytes
        try:
            with explained(self.path):
                self.version = self._version()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> StoreSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def rows(self, select: str, together: int) -> Iterator[list[tuple[Any, ...]]]:
        """What `select` gives for each `together` row numbers, of which it has two parameters: after this one, up to that one."""
        with explained(self.path):
            (last,) = self._connection.execute("SELECT max(rowid) FROM replies").fetchone()
            for start in range(0, last or 0, together):
                yield self._connection.execute(select, (start, start + together)).fetchall()

    def columns(self) -> str:
        """The columns of a row, also of version 1."""
        return "key, reply, 0, 0, 0, 0, NULL" if self.version == 1 else "key, reply, engine, stored, prompt, generated, checksum"

    def engines(self) -> dict[int, str]:
        """Identities by the number that rows have."""
        if self.version == 1:
            return {}
        with explained(self.path):
            found = self._connection.execute("SELECT id, identity FROM engines").fetchall()
        return {number: identity.decode(errors="replace") for number, identity in found}

    def _version(self) -> int:
        if pragma(self._connection, "application_id") != APPLICATION:
            raise InputError(f"{self.path}: an SQLite file that is no reply store; give a store's file, or the --out directory of a run")
        version = pragma(self._connection, "user_version")
        refuse_newer(version, self.path)
        return version


class SourceRows:
    """All rows of a store for `vg store merge`: in bulk, and of a damaged one whatever can be read; the store is left as it is."""

    def __init__(self, path: Path) -> None:
        self.path = store_file(path)
        self.engines: dict[int, str] = {}
        self.unreadable = 0
        self.damage = ""

    def batches(self) -> Iterator[list[Row]]:
        """Rows, some thousands at a time. `engines`, `unreadable` and `damage` are complete at the end."""
        try:
            with StoreSource(self.path) as source:
                self.engines = source.engines()
                select = f"SELECT {source.columns()} FROM replies WHERE rowid > ? AND rowid <= ?"  # noqa: S608
                for found in source.rows(select, ROWS_TOGETHER):
                    yield self._sound(found)
        except StoreDamagedError as error:
            self.damage = str(error.__cause__ or error)
            yield from self._salvaged(error)

    def _sound(self, found: list[tuple[Any, ...]]) -> list[Row]:
        rows = []
        for columns in found:
            try:
                rows.append(upgraded(columns))
            except ValueError:
                self.unreadable += 1
        return rows

    def _salvaged(self, error: StoreDamagedError) -> Iterator[list[Row]]:
        reader, some, taken = RowReader(self.path), list[Row](), 0
        for row in reader.rows():
            some.append(row)
            taken += 1
            if len(some) == ROWS_TOGETHER:
                yield some
                some = []
        if not taken:
            raise error
        self.engines |= reader.engines
        self.unreadable = len(reader.unreadable)
        yield some
