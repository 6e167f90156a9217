"""The SQLite file of a reply store: its schema and versions, its errors in words, and a connection that outlives the file's replacement.

Beside `replies.sqlite` stand SQLite's `-wal` and `-shm` while it is open, and `-lock`: held shared while the file is opened, closed, read
or written, and exclusively while a damaged file is replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from vidground_core.errors import RunDirectoryError
from vidground_core.runs.store_rows import COLUMNS

STORE_VERSION = 2
APPLICATION = 0x56475250
PATIENCE = 60.0
"""Seconds that a locked store is waited for."""

PAGE_BYTES = 4096
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL, engine INTEGER NOT NULL DEFAULT 0, "
    "stored INTEGER NOT NULL DEFAULT 0, prompt INTEGER NOT NULL DEFAULT 0, generated INTEGER NOT NULL DEFAULT 0, checksum INTEGER)",
    "CREATE TABLE IF NOT EXISTS engines (id INTEGER PRIMARY KEY, identity TEXT NOT NULL)",
)
INSERT_REPLY = f"INSERT OR IGNORE INTO replies ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
INSERT_ENGINE = "INSERT OR IGNORE INTO engines VALUES (?, ?)"

_MENDINGS = 3
_OTHER_SCHEMA = ("no such table", "no such column", "table replies has no column")
_JOURNAL_BYTES = 64 * 2**20
# A third faster than the 1,000 of SQLite where keys lie spread over a large index; 16 MB of log.
_PAGES_FOLDED_TOGETHER = 4_000
_ROOM_BYTES = 256 * 1024
_T = TypeVar("_T")


class StoreDamagedError(RunDirectoryError):
    """The file is damaged, or no SQLite file at all."""


@contextlib.contextmanager
def explained(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """SQLite's errors as RunDirectoryError with what to do; damage as StoreDamagedError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or str(error).startswith(_OTHER_SCHEMA):
            raise StoreDamagedError(
                f"{path}: not a readable reply store ({error}); move it away to ask everything again, or name another store"
            ) from error
        raise RunDirectoryError(f"{path}: {_explanation(code, error, path, patience)}") from error


def _explanation(code: int, error: sqlite3.Error, path: Path, patience: float) -> str:
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"locked by another program for more than {patience:g} s; let it finish or end it"
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and free < _ROOM_BYTES):
        return f"the disk is full ({free // 1024} kB free in {str(path.parent)!r}); make room"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"cannot be opened for writing ({error}); check the permissions of the file and of its folder, or name another store"
    return f"{error}; mend that (disk, permissions), or name another store"


def beside(path: Path, suffix: str) -> Path:
    """The file of that suffix beside the store, such as its `-wal`."""
    return path.with_name(path.name + suffix)


def make_folder(path: Path) -> None:
    """The folder of a store that may be new. Raises RunDirectoryError where it cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirectoryError(f"{path}: its folder cannot be made ({error.strerror}); name another store") from error


@contextlib.contextmanager
def locked(path: Path, *, exclusively: bool = False) -> Iterator[None]:
    """Holds the store's lock file; ends with the process, however that ends."""
    try:
        descriptor = os.open(beside(path, "-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be opened for writing ({error.strerror}); check the permissions of its folder, or name another store"
        ) from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks: two processes had better not share a store there
            fcntl.flock(descriptor, fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


class StoreFile:
    """A connection to a reply store. Where the file is found damaged it is salvaged by `mend(path, inode, reason)` and opened again.

    Not safe for threads: each thread has its own, or a lock around it.
    """

    def __init__(self, path: Path, *, patience: float, mend: Callable[[Path, int, str], None]) -> None:
        self.path, self._patience, self._mend = path, patience, mend
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def attempt(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What `work` returns, which may be called again after a salvage; a transaction that it leaves open is undone.

        Raises RunDirectoryError where the store cannot be used.
        """
        for _ in range(_MENDINGS):
            try:
                with locked(self.path), explained(self.path, self._patience):
                    return _undoing(self._current(), work)
            except StoreDamagedError as error:
                trouble = error
                self.close()
                self._mend(self.path, self._inode, str(error.__cause__ or error))
        raise trouble

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            with locked(self.path):
                self._connection.close()
                self._connection = None

    def _current(self) -> sqlite3.Connection:
        """The connection, reopened where another process has replaced the file."""
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError:
            if self._connection is not None:
                raise RunDirectoryError(f"{self.path}: taken away while it was in use; put it back, with its -wal beside it") from None
            inode = -1
        if self._connection is not None and inode != self._inode:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._inode = max(inode, 0)
            self._connection = _connect(self.path, self._patience)
            self._inode = self.path.stat().st_ino
        return self._connection


def _undoing(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
    try:
        return work(connection)
    finally:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        connection.text_factory = bytes
        _prepare(connection, path, patience)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_PAGES_FOLDED_TOGETHER}")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    application = pragma(connection, "application_id")
    empty = application == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    if empty:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    elif application != APPLICATION:
        if connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'replies' AND sql LIKE '%(key BLOB PRIMARY KEY, reply TEXT%'"
        ).fetchone():
            raise StoreDamagedError(f"{path}: not a readable reply store (its header is damaged)")
        raise RunDirectoryError(f"{path}: an SQLite file that is no reply store; name another file as the store")
    refuse_newer(pragma(connection, "user_version"), path)
    _switch_to_wal(connection, patience)
    if pragma(connection, "user_version") < STORE_VERSION:
        _bring_up_to_date(connection, path)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables, or migrates version 1 in place: columns with a default, so that no row is written anew."""
    connection.execute("BEGIN IMMEDIATE")
    version = pragma(connection, "user_version")  # again: another process may have done it while this one waited
    refuse_newer(version, path)
    if version == 1:
        for column in ("engine", "stored", "prompt", "generated"):
            connection.execute(f"ALTER TABLE replies ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
        connection.execute("ALTER TABLE replies ADD COLUMN checksum INTEGER")
    create_tables(connection)
    connection.execute("COMMIT")


def create_tables(connection: sqlite3.Connection) -> None:
    """The tables of the present version, where they are missing, and its mark."""
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {STORE_VERSION}")


def refuse_newer(version: int, path: Path) -> None:
    """Raises RunDirectoryError for a version that is not known here."""
    if version > STORE_VERSION:
        raise RunDirectoryError(
            f"{path}: a reply store of version {version}; this vg reads versions up to {STORE_VERSION}; "
            "use the vidground version that made it, or name another store"
        )


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """A numeric pragma."""
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _switch_to_wal(connection: sqlite3.Connection, patience: float) -> None:
    # SQLite does not wait for other connections on this switch, so two processes that create one store need this loop.
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
