"""The reply store: every answered ask, durably, one row a reply; shared by detectors, runs and processes.

Durability: replies are committed in groups. A reply that was `put` is on disk (WAL mode, synchronous=FULL: fsynced) within
`COMMIT_SECONDS` plus one commit, or when `flush` returns; a killed process loses at most that much, and nothing committed before.
Failed replies are never stored, so they are asked again. Rows hold JSON, never pickles.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from vidground_core.errors import RunDirectoryError
from vidground_core.records import Reply

COMMIT_SECONDS = 0.05
"""Longest time a reply waits for others before its group is committed."""

STORE_VERSION = 1
_APPLICATION = 0x56475250
_BUSY_SECONDS = 60.0
_KEYS_PER_QUERY = 500


class ReplyStore:
    """Replies by key (`records.reply_key`, 32 bytes) in one SQLite file; safe for threads and for several processes at once.

    Of two processes that store the same key the first wins. Raises RunDirectoryError where the file is not a reply store, is damaged,
    has another version or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._reader, self._reading = _connect(path), threading.Lock()
        self._pending: dict[bytes, str] = {}
        self._writing: dict[bytes, str] = {}
        self._changed = threading.Condition()
        self._hurry = self._closing = False
        self._error: Exception | None = None
        self._writer = threading.Thread(target=self._write_loop, name="reply-store", daemon=True)
        self._writer.start()

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Reply]:
        """The stored replies among `keys`, in bulk; also those put and not yet committed."""
        wanted = list(dict.fromkeys(keys))
        with self._changed:
            found = {key: held for key in wanted if (held := self._pending.get(key) or self._writing.get(key))}
        wanted = [key for key in wanted if key not in found]
        with self._reading, _readable(self.path):
            for start in range(0, len(wanted), _KEYS_PER_QUERY):
                chunk = wanted[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(chunk))
                found |= dict(self._reader.execute(f"SELECT key, reply FROM replies WHERE key IN ({marks})", chunk))  # noqa: S608
        return {key: _decode(text) for key, text in found.items()}

    def put(self, key: bytes, reply: Reply, identity: str = "") -> None:
        """Queues an answered reply for the next group commit; a key that is stored already keeps its reply.

        `identity` is that of the engine that gave it.

        Raises ValueError for a failed reply: failures are not answers.
        """
        if reply.status != "answered":
            raise ValueError(f"only answered replies are stored, this one is {reply.status!r}: {reply.error!r}")
        with self._changed:
            self._check()
            self._pending.setdefault(key, _encode(reply))
            self._changed.notify_all()

    def flush(self) -> None:
        """Returns when everything put so far is on disk."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or not (self._pending or self._writing))
            self._hurry = False
            self._check()

    def __len__(self) -> int:
        """Replies committed, by all processes."""
        with self._reading, _readable(self.path):
            (replies,) = self._reader.execute("SELECT count(*) FROM replies").fetchone()
        return int(replies)

    def close(self) -> None:
        """Commits what is queued and closes the file."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join()
        with self._reading:
            self._reader.close()
        with self._changed:
            self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._error is not None:
            raise RunDirectoryError(
                f"{self.path}: replies cannot be stored: {self._error}; mend that (disk space, permissions) and run the same command again"
            ) from self._error

    def _write_loop(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            connection.execute("PRAGMA synchronous=FULL")
            while self._take_group():
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?)", self._writing.items())
                connection.execute("COMMIT")
                with self._changed:
                    self._writing = {}
                    self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            if connection is not None:
                connection.close()

    def _take_group(self) -> bool:
        """Waits for the next group and moves it to `_writing`; False when the store closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            self._changed.wait_for(lambda: self._hurry or self._closing, timeout=COMMIT_SECONDS)
            self._writing, self._pending = self._pending, {}
            return bool(self._writing)


def _encode(reply: Reply) -> str:
    fields = {"text": reply.text, "logprobs": reply.logprobs, "tokens": reply.tokens, "usage": reply.usage if any(reply.usage) else ()}
    return json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":"))


def _decode(text: str) -> Reply:
    fields = json.loads(text)
    logprobs, tokens = tuple(fields.get("logprobs", ())), tuple(fields.get("tokens", ()))
    prompt, generated = fields.get("usage", (0, 0))
    return Reply("answered", text=fields.get("text", ""), logprobs=logprobs, tokens=tokens, usage=(prompt, generated))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise RunDirectoryError(
            f"{path}: not a readable reply store ({error}); move it away to ask everything again, or name another store"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    with _readable(path):
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id") == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        _switch_to_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL)")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {STORE_VERSION}")
        connection.execute("COMMIT")
    if _pragma(connection, "application_id") != _APPLICATION:
        raise RunDirectoryError(f"{path}: an SQLite file that is no reply store; name another file as the store")
    version = _pragma(connection, "user_version")
    if version != STORE_VERSION:
        raise RunDirectoryError(
            f"{path}: a reply store of version {version}; this vg reads version {STORE_VERSION}; "
            "use the vidground version that made it, or name another store"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for other connections on this switch, so two processes that create one store need this loop.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
