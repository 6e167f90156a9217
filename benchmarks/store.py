"""How fast replies become durable and are found again, beside bare SQLite and raw files with the same durability.

    python benchmarks/store.py [--rows N] [--quick] [--json]

Three writers put the same rows in groups of 1,000, each group flushed to disk before the next, taking turns so that a busy disk is shared:
`ReplyStore` (put and flush), SQLite's `executemany` into an equal table, and one file to which each group is appended and fsynced (the
limit). Then a store of --rows replies (10^6) is opened in a process of its own, which asks it for 10^4 replies, and for 4 × 10^4 at once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vidground_core.records import Reply
from vidground_core.runs.store import ReplyStore
from vidground_core.runs.store_file import INSERT_REPLY, create_tables
from vidground_core.runs.store_rows import Row, engine_number, pack

GROUP = 1_000
FIRST, AT_ONCE = 10_000, 40_000
AIM_DURABLE = 5_000


def key(number: int) -> bytes:
    """32 bytes, spread like the keys of asks."""
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def reply(number: int) -> Reply:
    """A reply to four options."""
    rng = random.Random(number)
    return Reply("answered", logprobs=tuple(-20 * rng.random() for _ in range(4)), tokens=(3, 4, 2, 5), usage=(120, 0))


def groups(start: int, rows: int) -> Iterator[list[tuple[bytes, Reply]]]:
    """Keys and replies, some at a time."""
    for begin in range(start, start + rows, GROUP):
        yield [(key(number), reply(number)) for number in range(begin, begin + GROUP)]


def into_store(folder: Path) -> Callable[[list[tuple[bytes, Reply]]], None]:
    """A writer: our store."""
    store = ReplyStore(folder / "ours.sqlite")

    def write(group: list[tuple[bytes, Reply]]) -> None:
        for one, answer in group:
            store.put(one, answer, "engine of the benchmark")
        store.flush()

    return write


def into_sqlite(folder: Path) -> Callable[[list[tuple[bytes, Reply]]], None]:
    """A writer: rows that are ready, by executemany and COMMIT in WAL mode, synchronous=FULL, as many pages folded together."""
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    create_tables(connection)

    def write(group: list[tuple[bytes, Reply]]) -> None:
        rows = packed(group)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT_REPLY, rows)
        connection.execute("COMMIT")

    return write


def into_file(folder: Path) -> Callable[[list[tuple[bytes, Reply]]], None]:
    """A writer: lines appended to one file, and fsync."""
    descriptor = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(group: list[tuple[bytes, Reply]]) -> None:
        os.write(descriptor, b"".join(one.hex().encode() + text.encode() + b"\n" for one, text, *_ in packed(group)))
        os.fsync(descriptor)

    return write


def packed(group: list[tuple[bytes, Reply]]) -> list[Row]:
    """The rows of a group, JSON and checksum made."""
    engine, now = engine_number("engine of the benchmark"), int(time.time())
    return [pack(one, answer, engine=engine, stored=now) for one, answer in group]


WRITERS = {"store": into_store, "sqlite": into_sqlite, "file": into_file}


def durable_rates(folder: Path, rows: int) -> dict[str, float]:
    """Replies a second of each writer, taking turns group by group."""
    writers = {name: make(folder) for name, make in WRITERS.items()}
    seconds = dict.fromkeys(writers, 0.0)
    for group in groups(0, rows):
        for name, write in writers.items():
            began = time.perf_counter()
            write(group)
            seconds[name] += time.perf_counter() - began
    return {name: rows / taken for name, taken in seconds.items()}


OPENING = """
import json, sys, time
from pathlib import Path
from benchmark_store import FIRST, AT_ONCE, key
from vidground_core.runs.store import ReplyStore
keys = [key(number * 7919 % int(sys.argv[2])) for number in range(FIRST + AT_ONCE)]
def most():  # ru_maxrss would count what the process had before it became this program
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = most()
began = time.perf_counter()
store = ReplyStore(Path(sys.argv[1]))
opened = time.perf_counter()
first = store.get_many(keys[:FIRST])
found = time.perf_counter()
many = store.get_many(keys[FIRST:])
ended = time.perf_counter()
peak = most() - before
print(json.dumps({"open": opened - began, "first": found - opened, "many": ended - found, "found": len(first) + len(many), "kB": peak}))
"""


def start_up(folder: Path, rows: int) -> dict[str, float]:
    """Seconds to open a store of that many replies and to find some, in a process of its own, and the memory that took."""
    seconds = 0.0
    with ReplyStore(folder / "large.sqlite") as store:
        for group in groups(0, rows):
            began = time.perf_counter()
            for one, answer in group:
                store.put(one, answer, "engine of the benchmark")
            store.flush()
            seconds += time.perf_counter() - began
    (folder / "benchmark_store.py").write_bytes(Path(__file__).read_bytes())
    command = [sys.executable, "-c", OPENING, str(folder / "large.sqlite"), str(rows)]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return {**json.loads(done.stdout), "rate": rows / seconds, "bytes": (folder / "large.sqlite").stat().st_size / rows}


def measured(rows: int, durable: int) -> list[dict[str, Any]]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        rates = durable_rates(Path(temporary), durable)
        began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        opening = start_up(Path(temporary), rows)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began
    start = opening["open"] + opening["first"]
    return [
        _row("durable replies, groups of 1,000", rates["store"], "replies/s", limit=rates["sqlite"], aim=f">= {AIM_DURABLE} replies/s"),
        _row("the same against files appended and fsynced", rates["store"], "replies/s", limit=rates["file"]),
        _row(f"durable replies, up to {rows:,} in the store", opening["rate"], "replies/s", aim=f">= {AIM_DURABLE} replies/s"),
        _row(f"start-up on {rows:,} replies: open, find {FIRST:,}", start, "s", aim="<= 5 s"),
        _row(f"replies found, {AT_ONCE:,} keys at once", AT_ONCE / opening["many"], "replies/s"),
        _row("memory of start-up and both look-ups", opening["kB"] / 1024, "MB"),
        _row(f"memory of writing {rows:,} replies", grown / 1024, "MB"),
        _row("file, a reply", opening["bytes"], "bytes"),
    ]


def _row(what: str, value: float, unit: str, *, limit: float | None = None, aim: str | None = None) -> dict[str, Any]:
    ratio = value / limit if limit else None
    return {"what": what, "value": value, "unit": unit, "limit": limit, "ratio": ratio, "aim": aim}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="replies in the store that is opened")
    parser.add_argument("--quick", action="store_true", help="a small store, for a first look")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args(arguments)
    rows = 20_000 if given.quick else given.rows
    table = measured(rows // GROUP * GROUP, min(rows, 100_000))
    if given.json:
        print(json.dumps({"benchmark": "store", "rows": table}))
        return
    for row in table:
        against = f"{row['ratio']:6.2f} of {row['limit']:,.0f}" if row["ratio"] else ""
        print(f"{row['what']:<52}{row['value']:>12,.1f} {row['unit']:<10}{against}")


if __name__ == "__main__":
    main()
