"""What `vg store` does: numbers of a store, several into one, old replies out, and a look at every row."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from vidground_core.errors import ConfigError, InputError, RunDirectoryError, nearest
from vidground_core.runs.layout import Layout
from vidground_core.runs.store import fold_log
from vidground_core.runs.store_file import INSERT_ENGINE, INSERT_REPLY, PATIENCE, StoreDamagedError, StoreFile, beside, make_folder, pragma
from vidground_core.runs.store_rows import Row, unpack
from vidground_core.runs.store_salvage import mend, recover
from vidground_core.runs.store_source import UNKNOWN_ENGINE, SourceRows, StoreSource, store_file

Advance = Callable[[int, int | None], None]
"""Told how many rows are done, and of how many."""

_ROWS_COUNTED = 100_000
_ROWS_PRUNED = 20_000
_DAY = 86_400


def store_stats(path: Path) -> dict[str, Any]:
    """Replies, bytes and tokens of a store by engine. The store is only read, and may be written meanwhile.

    Raises InputError where there is none, RunDirectoryError where it is damaged or of a newer version.
    """
    try:
        return _stats(path)
    except StoreDamagedError as error:
        said = f"{path}: damaged, or no reply store ({error.__cause__ or error})"
        raise RunDirectoryError(f"{said}; vg store check {path} salvages what can be read of a damaged one") from error


def _stats(path: Path) -> dict[str, Any]:
    with StoreSource(path) as source:
        # Of version 1 the token counts stand in the reply; a log-probability of minus infinity keeps SQLite from reading them there.
        usage = "CASE WHEN checksum IS NULL AND json_valid(reply) THEN coalesce(json_extract(reply, '$.usage[{0}]'), 0) ELSE {1} END"
        sums = ", ".join(f"sum({usage.format(index, name)})" for index, name in enumerate(("prompt", "generated")))
        select = (
            f"SELECT engine, count(*), sum(length(reply)), {sums}, min(nullif(stored, 0)), max(stored) FROM "  # noqa: S608
            f"(SELECT {_named(source.columns())} FROM replies WHERE rowid > ? AND rowid <= ?) GROUP BY engine"
        )
        found: dict[int, list[Any]] = {}
        for rows in source.rows(select, _ROWS_COUNTED):
            for engine, *numbers in rows:
                found[engine] = _together(found[engine], numbers) if engine in found else numbers
        names = source.engines()
        engines = [_engine(names.get(engine, UNKNOWN_ENGINE), numbers) for engine, numbers in found.items()]
        engines.sort(key=lambda one: (-one["replies"], one["engine"]))
        total = {name: sum(one[name] for one in engines) for name in ("replies", "reply_bytes", "prompt_tokens", "generated_tokens")}
        log = beside(source.path, "-wal")
        size, log_bytes = source.path.stat().st_size, log.stat().st_size if log.exists() else 0
        return {"path": str(source.path), "version": source.version, **total, "bytes": size, "log_bytes": log_bytes, "engines": engines}


def _named(columns: str) -> str:
    names = ("key", "reply", "engine", "stored", "prompt", "generated", "checksum")
    return ", ".join(f"{column} AS {name}" for column, name in zip(columns.split(", "), names, strict=True))


def _together(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    firsts = [first for first in (one[4], other[4]) if first]
    return [*(a + b for a, b in zip(one[:4], other[:4], strict=True)), min(firsts, default=None), max(one[5], other[5])]


def _engine(identity: str, numbers: Sequence[Any]) -> dict[str, Any]:
    replies, size, prompt, generated, first, last = numbers
    counts = {"replies": replies, "reply_bytes": size, "prompt_tokens": prompt, "generated_tokens": generated}
    return {"engine": identity, **counts, "first": _moment(first), "last": _moment(last)}


def _moment(seconds: int | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def merge_stores(into: Path, sources: Sequence[Path], *, advance: Advance = lambda done, total: None) -> dict[str, Any]:
    """Copies the replies of `sources` into `into`, which is made where it is not there; of two replies to a key the one there stays.

    A name without a suffix is a run directory.

    `sources` are only read, a damaged one as far as it can be. Stopped at any moment, the same call goes on: what is there is not copied
    again. Raises InputError before anything is written where a source is missing, or is `into` itself.
    """
    target = Layout(into).store_file if into.is_dir() or not (into.exists() or into.suffix) else into
    files = [store_file(source) for source in sources]
    for source, file in zip(sources, files, strict=True):
        if target.exists() and file.samefile(target):
            raise InputError(f"{str(source)!r} is the store that is merged into; name other stores to merge from")
        _readable(file)
    make_folder(target)
    recover(target)
    store = StoreFile(target, patience=PATIENCE, mend=mend)
    try:
        merged = [_merge_one(store, file, advance) for file in files]
        (replies,) = store.attempt(lambda connection: connection.execute("SELECT count(*) FROM replies").fetchone())
    finally:
        store.close()
    totals = {name: sum(one[name] for one in merged) for name in ("read", "added", "known", "conflicts", "unreadable")}
    return {"into": str(target), "replies": int(replies), **totals, "sources": merged}


def _readable(file: Path) -> None:
    """Raises before anything is written where a source cannot be merged at all."""
    next(SourceRows(file).batches(), None)


def _merge_one(store: StoreFile, file: Path, advance: Advance) -> dict[str, Any]:
    source = SourceRows(file)
    counts = {"read": 0, "added": 0, "known": 0, "conflicts": 0}
    for rows in source.batches():
        added, conflicts = store.attempt(partial(_merge_rows, rows=rows, path=store.path))
        counts["read"] += len(rows)
        counts["added"] += added
        counts["conflicts"] += conflicts
        advance(counts["read"], None)
    counts["known"] = counts["read"] - counts["added"] - counts["conflicts"]
    store.attempt(lambda connection: connection.executemany(INSERT_ENGINE, source.engines.items()))
    return {"path": str(file), **counts, "unreadable": source.unreadable, "damage": source.damage}


def _merge_rows(connection: sqlite3.Connection, *, rows: list[Row], path: Path) -> tuple[int, int]:
    """Rows added, and keys that have another reply already."""
    connection.execute("BEGIN IMMEDIATE")
    marks = ",".join("?" * len(rows))
    select = f"SELECT key, reply, prompt, generated, checksum FROM replies WHERE key IN ({marks})"  # noqa: S608
    there = {found[0]: found for found in connection.execute(select, [row[0] for row in rows])}
    before = connection.total_changes
    connection.executemany(INSERT_REPLY, rows)
    added = connection.total_changes - before
    connection.execute("COMMIT")
    conflicts = sum(row[0] in there and there[row[0]][1] != row[1].encode() and _differ(there[row[0]], row) for row in rows)
    fold_log(connection, path, PATIENCE)
    return added, conflicts


def _differ(there: tuple[Any, ...], row: Row) -> bool:
    try:
        return unpack(*there) != unpack(row[0], row[1].encode(), *row[4:])
    except ValueError:
        return True


def prune_store(
    path: Path,
    *,
    engines: Sequence[str] = (),
    older_than: float | None = None,
    dry_run: bool = False,
    advance: Advance = lambda done, total: None,
) -> dict[str, Any]:
    """Takes out the replies of engines whose identity contains one of `engines`, and that are older than so many days; both where both
    are given. The space is given back to the disk, for which SQLite needs as much free as what is left takes.

    Raises ConfigError where nothing is named, or an engine that no reply is of.
    """
    if not engines and older_than is None:
        raise ConfigError("nothing to prune is named: --engine TEXT, --older-than DAYS, or both")
    before = store_stats(path)
    names = [one["engine"] for one in before["engines"]]
    for text in engines:
        if not text or not any(text in name for name in names):
            raise ConfigError(f"--engine {text!r}: no reply of {before['path']} is of such an engine; {nearest(text, names)}")
    file = store_file(path)
    chosen = [name for name in names if not engines or any(text in name for text in engines)]
    until = None if older_than is None else int(time.time() - older_than * _DAY)
    recover(file)
    store = StoreFile(file, patience=PATIENCE, mend=mend)
    try:
        pruned = _prune(store, chosen, until, dry_run=dry_run, advance=advance)
        if not dry_run:
            _give_back(store, pruned)
    finally:
        store.close()
    left = before["bytes"] + before["log_bytes"] if dry_run else file.stat().st_size
    freed = before["bytes"] + before["log_bytes"] - left
    return {
        "path": str(file),
        "pruned": pruned,
        "kept": before["replies"] - pruned,
        "freed_bytes": freed,
        "bytes": left,
        "dry_run": dry_run,
    }


def _prune(store: StoreFile, chosen: Sequence[str], until: int | None, *, dry_run: bool, advance: Advance) -> int:
    marks = ",".join("?" * len(chosen))
    known = f"engine IN (SELECT id FROM engines WHERE identity IN ({marks}))"  # noqa: S608
    unknown = "engine NOT IN (SELECT id FROM engines)" if UNKNOWN_ENGINE in chosen else "0"
    where = f"rowid > ? AND rowid <= ? AND ({known} OR {unknown})" + (" AND stored > 0 AND stored < ?" if until else "")
    verb = "SELECT count(*)" if dry_run else "DELETE"
    values = [*chosen, *([until] if until else [])]
    (last,) = store.attempt(lambda connection: connection.execute("SELECT coalesce(max(rowid), 0) FROM replies").fetchone())

    def some(connection: sqlite3.Connection, start: int) -> int:
        done = connection.execute(f"{verb} FROM replies WHERE {where}", (start, start + _ROWS_PRUNED, *values))
        return int(done.fetchone()[0]) if dry_run else done.rowcount

    pruned = 0
    for start in range(0, last, _ROWS_PRUNED):
        pruned += store.attempt(partial(some, start=start))
        advance(min(start + _ROWS_PRUNED, last), last)
    return pruned


def _give_back(store: StoreFile, pruned: int) -> None:
    def shrink(connection: sqlite3.Connection) -> None:
        if pruned or pragma(connection, "freelist_count"):
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    try:
        store.attempt(shrink)
    except RunDirectoryError as error:
        raise RunDirectoryError(
            f"{error}\n{pruned} replies are taken out and their space is used for new ones; the same command gives it back to the disk"
        ) from error


def check_store(path: Path, *, advance: Advance = lambda done, total: None) -> dict[str, Any]:
    """Looks at every page, index entry and row of a store; a damaged one is salvaged. `problems` are in words, none for a sound store."""
    file = store_file(path)
    kept_before = set(file.parent.glob(f"{file.name}.damaged-*"))
    problems = [problem for problem in [recover(file)] if problem]

    def note_and_mend(damaged: Path, inode: int, reason: str) -> None:
        problems.append(reason)
        mend(damaged, inode, reason)

    store = StoreFile(file, patience=PATIENCE, mend=note_and_mend)
    try:
        replies = store.attempt(lambda connection: _check_all(connection, file, advance))
    finally:
        store.close()
    kept = sorted(str(one) for one in set(file.parent.glob(f"{file.name}.damaged-*")) - kept_before if not one.name.endswith("-wal"))
    return {"path": str(file), "replies": replies, "sound": not problems, "problems": problems, "kept": kept}


def _check_all(connection: sqlite3.Connection, path: Path, advance: Advance) -> int:
    """The number of rows. Raises StoreDamagedError at the first thing that is wrong."""
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != b"ok":
        raise StoreDamagedError(f"{path}: {verdict.decode(errors='replace')}")
    last, checked = connection.execute("SELECT coalesce(max(rowid), 0) FROM replies").fetchone()[0], 0
    select = "SELECT key, reply, prompt, generated, checksum FROM replies WHERE rowid > ? AND rowid <= ?"
    for start in range(0, last, _ROWS_PRUNED):
        for row in connection.execute(select, (start, start + _ROWS_PRUNED)).fetchall():
            checked += 1
            try:
                unpack(*row)
            except ValueError as error:
                raise StoreDamagedError(f"{path}: {error}") from error
        advance(checked, None)
    return checked
