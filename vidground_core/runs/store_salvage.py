"""A damaged reply store: its readable rows into a new file in its place, the damaged one kept beside it.

Killed at any moment it goes on or starts again at the next opening: the new file is complete before it takes the name `-salvaged`, and
what has that name is only put in place. Two processes that find the damage at once do it once, by the store's lock file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from vidground_core.runs.durable import sync_folder
from vidground_core.runs.store_file import (
    INSERT_ENGINE,
    INSERT_REPLY,
    PAGE_BYTES,
    StoreDamagedError,
    beside,
    create_tables,
    explained,
    locked,
)
from vidground_core.runs.store_pages import StorePages, log_damage
from vidground_core.runs.store_rows import COLUMNS, KEY_BYTES, Row, engine_number, upgraded

_ROWS_TOGETHER = 5_000
_logger = logging.getLogger(__name__)


@dataclass
class RowReader:
    """All rows that can be read from a damaged store, which is left as it is.

    `engines` and the keys of `unreadable` rows fill as it goes, `ours` says whether a header is one of a reply store.
    """

    path: Path
    engines: dict[int, str] = field(default_factory=dict)
    unreadable: set[bytes] = field(default_factory=set)
    ours: bool = False

    def rows(self) -> Iterator[Row]:
        """Each row that its checksum (of version 1: its shape) vouches for; a key may come more than once, newest first."""
        with StorePages(self.path) as pages:
            self.ours = pages.ours
            for number, columns in pages.records():
                if len(columns) == 2 and columns[0] is None and isinstance(columns[1], bytes):
                    identity = columns[1].decode(errors="replace")
                    if engine_number(identity) == number:
                        self.engines[number] = identity
                elif len(columns) in (2, len(COLUMNS)) and isinstance(columns[0], bytes) and len(columns[0]) == KEY_BYTES:
                    try:
                        yield upgraded(columns if len(columns) > 2 else (*columns, 0, 0, 0, 0, None))
                    except ValueError:
                        self.unreadable.add(columns[0])


def recover(path: Path) -> str:
    """Before a store is opened: ends a salvage that was cut short, and salvages what SQLite would silently leave out of a damaged log.

    Returns what was wrong, empty where nothing was.
    """
    if beside(path, "-salvaged").exists():
        with locked(path, exclusively=True):
            if beside(path, "-salvaged").exists():
                _put_in_place(path)
    if not _log_trouble(path):
        return ""
    inode = path.stat().st_ino if path.exists() else 0
    with locked(path, exclusively=True):  # nobody writes the log now
        trouble = _log_trouble(path)
    if trouble:
        mend(path, inode, trouble)
    return trouble


def _log_trouble(path: Path) -> str:
    log = beside(path, "-wal")  # looked at first: SQLite makes it after the file
    if log.exists() and log.stat().st_size and not (path.exists() and path.stat().st_size):
        return "the file is gone or empty and its write-ahead log is there"
    return log_damage(path)


def mend(path: Path, inode: int, reason: str) -> None:
    """Salvages the store whose file has that inode, and says so in a warning; does nothing where another process has done it already.

    Raises StoreDamagedError, and touches nothing, where the file is no reply store; RunDirectoryError where the disk is full.
    """
    with locked(path, exclusively=True):
        if (path.stat().st_ino if path.exists() else 0) != inode:
            return
        _logger.warning("%s: damaged (%s); salvaging its replies", path, reason)
        reader = RowReader(path)
        salvaged, lost = _build(reader)
        if not salvaged and not reader.ours:
            beside(path, "-salvaging").unlink()
            raise StoreDamagedError(
                f"{path}: not a readable reply store ({reason}); move it away to ask everything again, or name another store"
            )
        beside(path, "-salvaging").replace(beside(path, "-salvaged"))
        sync_folder(path.parent)
        kept = _put_in_place(path)
    _logger.warning(
        "%s: %d replies salvaged, %d that are damaged dropped; what is missing is asked again; the damaged file is kept as %s",
        path,
        salvaged,
        lost,
        kept.name,
    )


def _build(reader: RowReader) -> tuple[int, int]:
    """Writes the new file; the number of its rows, and of keys seen whose row is damaged."""
    target = beside(reader.path, "-salvaging")
    target.unlink(missing_ok=True)
    try:
        with explained(reader.path), contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
            for setting in (f"page_size={PAGE_BYTES}", "journal_mode=OFF", "synchronous=OFF"):
                connection.execute(f"PRAGMA {setting}")
            connection.execute("BEGIN")
            create_tables(connection)
            rows = reader.rows()
            while some := list(islice(rows, _ROWS_TOGETHER)):
                connection.executemany(INSERT_REPLY, some)
            connection.executemany(INSERT_ENGINE, reader.engines.items())
            connection.execute("COMMIT")
            (salvaged,) = connection.execute("SELECT count(*) FROM replies").fetchone()
            found = sum(connection.execute("SELECT count(*) FROM replies WHERE key = ?", (key,)).fetchone()[0] for key in reader.unreadable)
            connection.execute("PRAGMA journal_mode=WAL")
        with target.open("rb+") as file:
            os.fsync(file.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return int(salvaged), len(reader.unreadable) - int(found)


def _put_in_place(path: Path) -> Path:
    """Keeps the damaged file and its log under one new name, and gives theirs to the new file; returns that name."""
    kept = _name_to_keep(path)
    if path.exists() and not kept.exists():
        os.link(path, kept)
    log = beside(path, "-wal")
    if log.exists() and log.stat().st_size:
        log.replace(beside(kept, "-wal"))
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
    beside(path, "-salvaged").replace(path)
    sync_folder(path.parent)
    return kept


def _name_to_keep(path: Path) -> Path:
    """A new name, or the one that a salvage that was cut short has given."""
    for other in path.parent.glob(f"{path.name}.damaged-*"):
        if path.exists() and other.samefile(path):
            return other
    stem = f".damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    names = [beside(path, stem), *(beside(path, f"{stem}-{number}") for number in range(2, 1_000))]
    return next(name for name in names if not name.exists() and not beside(name, "-wal").exists())
