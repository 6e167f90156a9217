"""The store's file under stress: an older version, several processes, locks, a disk that is full, a log that must not grow for ever."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core.errors import RunDirectoryError
from vidground_core.records import Reply
from vidground_core.runs import store as store_module
from vidground_core.runs.store import ReplyStore
from vidground_core.runs.store_upkeep import check_store, prune_store, store_stats

WRITER = """
    import sys
    from pathlib import Path
    from vidground_core.records import Reply
    from vidground_core.runs.store import ReplyStore
    with ReplyStore(Path(sys.argv[1])) as store:
        for number in range(int(sys.argv[2]), int(sys.argv[3])):
            store.put(number.to_bytes(32, "big"), Reply("answered", text=f"{number}"), f"engine of {sys.argv[2]}")
            if number % 50 == 0:
                store.flush()
"""


def _key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _process(script: str, *arguments: str | Path | int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _version_1(path: Path, numbers: range) -> dict[bytes, Reply]:
    """A store as version 1 wrote it, and what is in it."""
    replies = {_key(number): Reply("answered", text=f"old {number}", usage=(number, 2)) for number in numbers}
    replies[_key(10**6)] = Reply("answered", logprobs=(-0.5, float("-inf")), tokens=(1, 2))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL)")
    connection.execute(f"PRAGMA application_id = {0x56475250}")
    connection.execute("PRAGMA user_version = 1")
    for key, reply in replies.items():
        fields = {"text": reply.text, "logprobs": reply.logprobs, "tokens": reply.tokens, "usage": reply.usage if any(reply.usage) else ()}
        text = json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":"))
        connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, text))
    connection.execute("COMMIT")
    connection.close()
    return replies


def _same(found: dict[bytes, Reply], replies: dict[bytes, Reply]) -> bool:
    return found == replies and all(found[key].usage == reply.usage for key, reply in replies.items())


def _version(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def test_version_1_is_migrated_in_place_and_keeps_its_replies(tmp_path: Path) -> None:
    replies = _version_1(tmp_path / "s.sqlite", range(500))
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert _same(store.get_many([*replies, _key(7_000)]), replies)
        store.put(_key(7_000), Reply("answered", text="new", usage=(5, 6)), "engine x")
    assert _version(tmp_path / "s.sqlite") == 2
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert _same(store.get_many(replies), replies)
        assert len(store) == 502
    counted = {one["engine"]: (one["replies"], one["prompt_tokens"]) for one in store_stats(tmp_path / "s.sqlite")["engines"]}
    assert counted == {"(not recorded)": (501, sum(range(500))), "engine x": (1, 5)}


def test_kill_9_within_the_migration_leaves_version_1_whole(tmp_path: Path) -> None:
    replies = _version_1(tmp_path / "s.sqlite", range(500))
    script = """
        import os, signal, sys
        from pathlib import Path
        from vidground_core.runs import store_file
        from vidground_core.runs.store import ReplyStore
        def killed(connection):
            assert len(connection.execute("PRAGMA table_info(replies)").fetchall()) == 7
            os.kill(os.getpid(), signal.SIGKILL)
        store_file.create_tables = killed  # the last thing before the migration is committed
        ReplyStore(Path(sys.argv[1]))
    """
    process = _process(script, tmp_path / "s.sqlite")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert _version(tmp_path / "s.sqlite") == 1
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert _same(store.get_many(replies), replies)


def test_processes_that_open_a_version_1_store_at_once_migrate_it_once(tmp_path: Path) -> None:
    replies = _version_1(tmp_path / "s.sqlite", range(100, 200))
    writers = [_process(WRITER, tmp_path / "s.sqlite", begin, end) for begin, end in [(0, 300), (150, 450), (0, 450)]]
    assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert _same(store.get_many(replies), replies)
        found = store.get_many(_key(number) for number in range(450))
        assert len(store) == 451
    assert {reply.text for key, reply in found.items() if key not in replies} == {str(n) for n in range(450) if not 100 <= n < 200}


def test_two_processes_put_the_same_keys_and_each_is_stored_once_with_its_engine(tmp_path: Path) -> None:
    writers = [_process(WRITER, tmp_path / "s.sqlite", begin, end) for begin, end in [(0, 1_200), (600, 1_800)]]
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    counted = {one["engine"]: one["replies"] for one in store_stats(tmp_path / "s.sqlite")["engines"]}
    assert sum(counted.values()) == 1_800
    assert counted["engine of 0"] >= 600
    assert counted["engine of 600"] >= 600


def test_kill_9_at_random_moments_loses_nothing_flushed_and_stores_at_most_the_group_under_way(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from vidground_core.records import Reply
        from vidground_core.runs.store import ReplyStore
        store, number = ReplyStore(Path(sys.argv[1])), int(sys.argv[2])
        while True:
            for number in range(number, number + 40):
                store.put(number.to_bytes(32, "big"), Reply("answered", text=f"{number}"))
            store.flush()
            number += 1
            print(number, flush=True)  # so many are flushed
    """
    drawn, flushed, other = random.Random(3), 0, _process(WRITER, tmp_path / "s.sqlite", 10**6, 10**6 + 3_000)
    for _ in range(12):
        process = _process(script, tmp_path / "s.sqlite", flushed)
        assert process.stdout is not None
        for _ in range(drawn.randrange(1, 30)):
            flushed = int(process.stdout.readline())
        time.sleep(drawn.random() * 0.05)
        process.kill()
        flushed = max([flushed, *(int(line) for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n"))])
        with ReplyStore(tmp_path / "s.sqlite") as store:
            found = store.get_many(_key(number) for number in range(flushed + 1_000))
        assert set(found) >= {_key(number) for number in range(flushed)}
        assert len(found) <= flushed + 40
        assert all(reply.text == str(int.from_bytes(key, "big")) for key, reply in found.items())
    assert other.communicate()[1] == ""
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert len(store.get_many(_key(10**6 + number) for number in range(3_000))) == 3_000
    assert check_store(tmp_path / "s.sqlite")["sound"]


def test_a_store_that_is_locked_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "s.sqlite") as store:
        other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        store.put(_key(1), Reply("answered", text="x"))
        time.sleep(0.3)
        other.execute("ROLLBACK")
        other.close()
        store.flush()
        assert len(store) == 1


def test_a_store_that_stays_locked_is_an_error_in_bounded_time_and_keeps_what_it_has(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path / "s.sqlite", patience=0.3)
    store.put(_key(1), Reply("answered", text="committed"))
    store.flush()
    other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    store.put(_key(2), Reply("answered", text="in flight"))
    said = r"s\.sqlite: replies cannot be stored: locked by another program for more than 0\.3 s; let it finish or end it\nwhat was stored"
    with pytest.raises(RunDirectoryError, match=said):
        store.flush()
    assert store.get_many([_key(1)])[_key(1)].text == "committed"
    with pytest.raises(RunDirectoryError, match=said):
        store.close()
    other.execute("ROLLBACK")
    other.close()
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert [reply.text for reply in store.get_many([_key(1), _key(2)]).values()] == ["committed"]


def test_a_store_locked_while_it_is_opened_is_an_error_in_bounded_time(tmp_path: Path) -> None:
    _version_1(tmp_path / "s.sqlite", range(3))
    other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RunDirectoryError, match=r"s\.sqlite: locked by another program for more than 0\.2 s; let it finish or end it"):
        ReplyStore(tmp_path / "s.sqlite", patience=0.2)
    other.close()


def test_a_folder_in_place_of_a_store_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").mkdir()
    with pytest.raises(
        RunDirectoryError, match=r"s\.sqlite: cannot be opened for writing \(unable to open database file\); check the perm"
    ):
        ReplyStore(tmp_path / "s.sqlite")


def test_a_folder_that_cannot_be_made_or_written_is_an_error(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"s\.sqlite: its folder cannot be made \(Not a directory\); name another store"):
        ReplyStore(tmp_path / "file" / "deep" / "s.sqlite")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(
        RunDirectoryError, match=r"s\.sqlite: cannot be opened for writing \(Read-only file system\); check the permissions"
    ):
        ReplyStore(small_disk / "s.sqlite")


def test_a_store_taken_away_while_in_use_is_said(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path / "s.sqlite")
    store.put(_key(1), Reply("answered", text="x"))
    store.flush()
    for file in tmp_path.glob("s.sqlite*"):
        file.rename(tmp_path / file.name.replace("s.", "moved."))
    store.put(_key(2), Reply("answered", text="y"))
    with pytest.raises(RunDirectoryError, match="taken away while it was in use; put it back, with its -wal beside it"):
        store.flush()
    with pytest.raises(RunDirectoryError, match="taken away while it was in use"):
        store.get_many([_key(1)])
    with pytest.raises(RunDirectoryError, match="replies cannot be stored: taken away"):
        store.close()
    with ReplyStore(tmp_path / "moved.sqlite") as store:
        assert len(store) == 1


def test_a_store_that_was_moved_with_its_log_keeps_all(tmp_path: Path) -> None:
    process = _process(
        """
        import os, signal, sys
        from pathlib import Path
        from vidground_core.records import Reply
        from vidground_core.runs.store import ReplyStore
        store = ReplyStore(Path(sys.argv[1]))
        for number in range(700):
            store.put(number.to_bytes(32, "big"), Reply("answered", text="x"))
        store.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """,
        tmp_path / "s.sqlite",
    )
    process.communicate()
    (tmp_path / "other").mkdir()
    assert (tmp_path / "s.sqlite-wal").stat().st_size > 0
    for name in ("s.sqlite", "s.sqlite-wal"):
        (tmp_path / name).rename(tmp_path / "other" / name)
    with ReplyStore(tmp_path / "other" / "s.sqlite") as store:
        assert len(store) == 700
    assert not (tmp_path / "other" / "s.sqlite-wal").exists()


def _filled(store: ReplyStore, numbers: range) -> None:
    for number in numbers:
        store.put(_key(number), Reply("answered", text="x" * 200))
        if number % 50 == 49:
            store.flush()
    store.flush()


def test_the_log_is_folded_in_when_a_reader_makes_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LOG_BYTES", 100_000)
    with ReplyStore(tmp_path / "s.sqlite") as store:
        _filled(store, range(2_000))
        assert (tmp_path / "s.sqlite-wal").stat().st_size < 400_000
        assert len(store) == 2_000


def test_a_reader_that_never_pauses_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LOG_BYTES", 100_000)
    store = ReplyStore(tmp_path / "s.sqlite", patience=0.2)
    _filled(store, range(50))
    reader = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM replies").fetchone()
    said = r"a program has been reading it for more than 0\.2 s without a pause, and s\.sqlite-wal has grown to 0 MB meanwhile; end that"
    with pytest.raises(RunDirectoryError, match=said):
        _filled(store, range(50, 5_000))
    with pytest.raises(RunDirectoryError, match=said):
        store.close()
    assert (tmp_path / "s.sqlite-wal").stat().st_size < 400_000
    reader.close()
    with ReplyStore(tmp_path / "s.sqlite") as store:
        stored = len(store)
        assert stored >= 100
        assert len(store.get_many(_key(number) for number in range(stored))) == stored


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _fill(disk: Path, *, leave: int) -> Path:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler = disk / "filler"
    filler.write_bytes(bytes(free - leave))
    return filler


def test_a_run_on_a_full_disk_stops_and_goes_on_with_the_rest(drive: ModuleType, tmp_path: Path, small_disk: Path) -> None:
    store, out = small_disk / "replies.sqlite", tmp_path / "out"
    ReplyStore(store).close()
    filler = _fill(small_disk, leave=200_000)
    plain = drive.Plain(drive.PlainConfig())
    first = drive.LogEngine(drive.LogConfig(window=20))
    said = r"replies\.sqlite: replies cannot be stored: the disk is full \(\d+ kB free in .*\); make room\nwhat was stored before is kept; "
    with pytest.raises(RunDirectoryError, match=said):
        drive.run(out, drive.bind(plain, first), rows=1_000, store=store)
    stored = store_stats(store)["replies"]
    assert 100 < stored < len(first.asked) < 2_000
    filler.unlink()
    second = drive.LogEngine(drive.LogConfig(window=20))
    (counts,) = drive.run(out, drive.bind(plain, second), rows=1_000, store=store)
    assert (counts.asked, counts.reused, counts.failed) == (2_000 - stored, stored, 0)
    assert len(set(first.asked) | set(second.asked)) == 2_000
    assert len(set(first.asked) & set(second.asked)) == len(first.asked) - stored
    assert store_stats(store)["replies"] == 2_000


def test_a_store_on_a_disk_that_is_full_from_the_start_says_so(small_disk: Path) -> None:
    filler = _fill(small_disk, leave=4_096)
    with pytest.raises(RunDirectoryError, match=r"s\.sqlite: the disk is full \(\d kB free in .*\); make room"):
        ReplyStore(small_disk / "s.sqlite")
    filler.unlink()
    with ReplyStore(small_disk / "s.sqlite") as store:
        store.put(_key(1), Reply("answered", text="x"))
        store.flush()
        assert len(store) == 1


def test_a_salvage_for_which_there_is_no_room_leaves_all_as_it_is(small_disk: Path) -> None:
    with ReplyStore(small_disk / "s.sqlite") as store:
        _filled(store, range(5_000))
    (small_disk / "s.sqlite").write_bytes(damaged := bytes(100) + (small_disk / "s.sqlite").read_bytes()[100:])
    filler = _fill(small_disk, leave=500_000)
    with pytest.raises(RunDirectoryError, match=r"s\.sqlite: the disk is full"):
        ReplyStore(small_disk / "s.sqlite")
    assert (small_disk / "s.sqlite").read_bytes() == damaged
    assert sorted(file.name for file in small_disk.iterdir()) == ["filler", "s.sqlite", "s.sqlite-lock"]
    filler.unlink()
    with ReplyStore(small_disk / "s.sqlite") as store:
        assert len(store) == 5_000


def test_a_prune_for_which_there_is_no_room_says_what_was_done_and_ends_when_there_is(small_disk: Path) -> None:
    with ReplyStore(small_disk / "s.sqlite") as store:
        for number in range(6_600):
            store.put(_key(number), Reply("answered", text="x" * 200), "engine b" if number >= 6_000 else "")
    filler = _fill(small_disk, leave=1_000_000)
    with pytest.raises(
        RunDirectoryError, match=r"the disk is full .*\n600 replies are taken out and their space is used for new ones; the"
    ):
        prune_store(small_disk / "s.sqlite", engines=["engine b"])
    assert store_stats(small_disk / "s.sqlite")["replies"] == 6_000
    filler.unlink()
    size = (small_disk / "s.sqlite").stat().st_size
    assert prune_store(small_disk / "s.sqlite", engines=["not recorded"], older_than=1)["pruned"] == 0
    assert (small_disk / "s.sqlite").stat().st_size < size * 0.95
