"""The reply store: every answered ask, durably, one row a reply; shared by detectors, runs and processes.

Durability: replies are committed in groups. A reply that was `put` waits at most `COMMIT_SECONDS` for others, then its group of at most
`GROUP_ROWS` is committed and flushed to disk (WAL mode, synchronous=FULL), or when `flush` returns; a killed process loses at most
that much, and nothing committed before. Failed replies are never stored, so they are asked again. Rows hold JSON with a checksum, never
pickles: a damaged row is never given out. A damaged file is salvaged on the spot (`store_salvage`).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from vidground_core.errors import RunDirectoryError
from vidground_core.records import Reply
from vidground_core.runs import store_salvage
from vidground_core.runs.store_file import INSERT_ENGINE, INSERT_REPLY, PATIENCE, StoreDamagedError, StoreFile, beside, make_folder
from vidground_core.runs.store_rows import Row, engine_number, pack, unpack

COMMIT_SECONDS = 0.05
"""Longest time a reply waits for others before its group is committed."""

GROUP_ROWS = 5_000
"""Most replies of a group; so many do not wait."""

WAITING_ROWS = 100_000
"""So many replies wait for a disk that cannot follow; then `put` waits too."""

LOG_BYTES = 256 * 2**20
"""Past this size of the write-ahead log, a group waits until those who read are done and the log is folded into the file."""

_KEYS_PER_QUERY = 4_000


class ReplyStore:
    """Replies by key (`records.reply_key`, 32 bytes) in one SQLite file; safe for threads and for several processes at once.

    Of two processes that store the same key the first wins. `patience` is how long, in seconds, a locked store is waited for. Raises
    RunDirectoryError where the file is not a reply store, is of a newer version, stays locked or cannot be written.
    """

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        self.path = path
        self._patience = patience
        make_folder(path)
        store_salvage.recover(path)
        self._file, self._reading = StoreFile(path, patience=patience, mend=store_salvage.mend), threading.Lock()
        self._file.attempt(lambda connection: connection.execute("SELECT 1 FROM replies LIMIT 1").fetchone())
        self._pending: dict[bytes, tuple[Row, str]] = {}
        self._writing: dict[bytes, tuple[Row, str]] = {}
        self._changed = threading.Condition()
        self._hurry = self._closing = False
        self._error: Exception | None = None
        self._writer = threading.Thread(target=self._write_loop, name="reply-store", daemon=True)
        self._writer.start()

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Reply]:
        """The stored replies among `keys`, in bulk; also those put and not yet committed. Tens of thousands at once are quickest."""
        wanted = sorted(set(keys))
        with self._changed:
            held = {key: held for key in wanted if (held := self._writing.get(key) or self._pending.get(key))}
        found = {key: unpack(key, row[1].encode(), *row[4:]) for key, (row, _) in held.items()}
        with self._reading:
            for some in _portions(wanted, _KEYS_PER_QUERY):
                found |= self._file.attempt(partial(_look_up, keys=some, path=self.path))
        return found

    def put(self, key: bytes, reply: Reply, identity: str = "") -> None:
        """Queues an answered reply for the next group commit; a key that is stored already keeps its reply.

        `identity` is that of the engine that gave it, for `vg store stats` and `prune`. Waits where `WAITING_ROWS` replies wait.
        Raises ValueError for a failed reply: failures are not answers.
        """
        if reply.status != "answered":
            raise ValueError(f"only answered replies are stored, this one is {reply.status!r}: {reply.error!r}")
        row = pack(key, reply, engine=engine_number(identity), stored=int(time.time()))
        with self._changed:
            if len(self._pending) >= WAITING_ROWS:
                self._changed.wait_for(lambda: self._error or len(self._pending) < WAITING_ROWS)
            self._check()
            self._pending.setdefault(key, (row, identity))
            if len(self._pending) in (1, GROUP_ROWS):
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
        """Replies committed, by all processes; counts them all."""
        with self._reading:
            return self._file.attempt(lambda connection: int(connection.execute("SELECT count(*) FROM replies").fetchone()[0]))

    def close(self) -> None:
        """Commits what is queued and closes the file."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join()
        with self._reading:
            self._file.close()
        with self._changed:
            self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._error is not None:
            reason = str(self._error).removeprefix(f"{self.path}: ")
            raise RunDirectoryError(
                f"{self.path}: replies cannot be stored: {reason}\n"
                "what was stored before is kept; when that is mended run the same command again, it goes on from there"
            ) from self._error

    def _write_loop(self) -> None:
        file = StoreFile(self.path, patience=self._patience, mend=store_salvage.mend)
        try:
            while self._take_group():
                file.attempt(self._commit)
                with self._changed:
                    self._writing = {}
                    self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            file.close()

    def _commit(self, connection: sqlite3.Connection) -> None:
        engines = {row[2]: identity for row, identity in self._writing.values() if identity}
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT_ENGINE, engines.items())
        connection.executemany(INSERT_REPLY, (row for row, _ in self._writing.values()))
        connection.execute("COMMIT")
        fold_log(connection, self.path, self._patience)

    def _take_group(self) -> bool:
        """Waits for the next group and moves it to `_writing`; False when the store closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            self._changed.wait_for(lambda: self._hurry or self._closing or len(self._pending) >= GROUP_ROWS, timeout=COMMIT_SECONDS)
            self._writing = {key: self._pending.pop(key) for key in list(islice(self._pending, GROUP_ROWS))}
            return bool(self._writing)


def fold_log(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    """Bounds the write-ahead log: past `LOG_BYTES` it is folded into the file, when those who read an older state are done.

    Raises RunDirectoryError where they are not within `patience` seconds.
    """
    log = beside(path, "-wal")
    if log.stat().st_size <= LOG_BYTES:
        return
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise RunDirectoryError(
            f"{path}: a program has been reading it for more than {patience:g} s without a pause, and {log.name} has grown to "
            f"{log.stat().st_size // 2**20} MB meanwhile; end that program"
        )


def _look_up(connection: sqlite3.Connection, *, keys: Sequence[bytes], path: Path) -> dict[bytes, Reply]:
    marks = ",".join("?" * len(keys))
    rows: Iterator[tuple[Any, ...]] = connection.execute(
        f"SELECT key, reply, prompt, generated, checksum FROM replies WHERE key IN ({marks})",  # noqa: S608
        keys,
    )
    try:
        return {row[0]: unpack(*row) for row in rows}
    except ValueError as error:
        raise StoreDamagedError(f"{path}: {error}") from error


def _portions(keys: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
