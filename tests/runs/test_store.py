from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from vidground_core.errors import RunDirectoryError
from vidground_core.records import Reply
from vidground_core.runs import store as store_module
from vidground_core.runs.store import COMMIT_SECONDS, ReplyStore


def _key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _stored(path: Path) -> int:
    connection = sqlite3.connect(path)
    (replies,) = connection.execute("SELECT count(*) FROM replies").fetchone()
    connection.close()
    return int(replies)


def test_replies_come_back_exactly(tmp_path: Path) -> None:
    replies = {
        _key(1): Reply("answered", text='A "dog" \ud800 \n'),
        _key(2): Reply("answered", logprobs=(-0.1, -1 / 3, float("-inf")), tokens=(1, 2, 7)),
        _key(3): Reply("answered"),
    }
    with ReplyStore(tmp_path / "deep" / "replies.sqlite") as store:
        for key, reply in replies.items():
            store.put(key, reply)
        assert store.get_many([*replies, _key(9)]) == replies
    with ReplyStore(tmp_path / "deep" / "replies.sqlite") as store:
        assert store.get_many([*replies, _key(9)]) == replies
        assert len(store) == 3


def test_a_put_is_committed_without_flush_or_close(tmp_path: Path) -> None:
    assert COMMIT_SECONDS <= 0.1
    with ReplyStore(tmp_path / "s.sqlite") as store:
        store.put(_key(1), Reply("answered", text="yes"))
        deadline = time.monotonic() + 30
        while not _stored(tmp_path / "s.sqlite") and time.monotonic() < deadline:
            time.sleep(0.005)
        assert _stored(tmp_path / "s.sqlite") == 1


def test_flush_returns_when_everything_is_on_disk(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "s.sqlite") as store:
        for round_number in range(1, 4):
            for number in range(1_000):
                store.put(_key(round_number * 1_000 + number), Reply("answered", text="x"))
            store.flush()
            assert _stored(tmp_path / "s.sqlite") == len(store) == round_number * 1_000
        assert len(store.get_many(_key(number) for number in range(5_000))) == 3_000


def test_failures_are_refused(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "s.sqlite") as store:
        with pytest.raises(ValueError, match="only answered replies are stored, this one is 'failed': 'outage'"):
            store.put(_key(1), Reply("failed", error="outage"))
        assert store.get_many([_key(1)]) == {}


def test_the_first_reply_of_a_key_stays(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "s.sqlite") as store:
        store.put(_key(1), Reply("answered", text="first"))
        store.flush()
        store.put(_key(1), Reply("answered", text="second"))
        store.flush()
        assert store.get_many([_key(1)])[_key(1)].text == "first"


def test_what_is_stored_is_given_out_also_while_another_reply_to_the_key_waits(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "s.sqlite") as store:
        store.put(_key(1), Reply("answered", text="first"))
        store.flush()
        store.put(_key(1), Reply("answered", text="second"))
        assert store.get_many([_key(1)])[_key(1)].text == "first"


def test_forty_thousand_keys_at_once_in_any_order_and_twice(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "s.sqlite") as store:
        for number in range(0, 20_000, 2):
            store.put(_key(number), Reply("answered", text=f"{number}"))
        store.flush()
        found = store.get_many(_key(number % 20_000) for number in range(40_000, 0, -1))
    assert {key: reply.text for key, reply in found.items()} == {_key(number): f"{number}" for number in range(0, 20_000, 2)}


def test_put_waits_where_the_disk_cannot_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "WAITING_ROWS", 10)
    with ReplyStore(tmp_path / "s.sqlite") as store:
        other = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        put = []

        def work() -> None:
            for number in range(100):
                store.put(_key(number), Reply("answered", text="x"))
                put.append(number)

        worker = threading.Thread(target=work)
        worker.start()
        deadline = time.monotonic() + 30
        while len(put) < 10 and time.monotonic() < deadline:
            worker.join(timeout=0.1)
        worker.join(timeout=0.2)
        assert worker.is_alive()
        assert 10 <= len(put) <= 20  # those that wait, and the group that cannot be written
        other.execute("ROLLBACK")
        other.close()
        worker.join()
        store.flush()
        assert len(store) == 100


def test_two_processes_share_one_new_store(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from vidground_core.records import Reply
        from vidground_core.runs.store import ReplyStore
        with ReplyStore(Path(sys.argv[1])) as store:
            for number in range(int(sys.argv[2]), int(sys.argv[3])):
                store.put(number.to_bytes(32, "big"), Reply("answered", text=f"{number}"))
                if number % 50 == 0:
                    store.flush()
    """)
    spans = [(0, 600), (300, 900), (0, 900)]
    command = [sys.executable, "-c", script, str(tmp_path / "s.sqlite")]
    writers = [subprocess.Popen([*command, str(begin), str(end)]) for begin, end in spans]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with ReplyStore(tmp_path / "s.sqlite") as store:
        found = store.get_many(_key(number) for number in range(1_000))
    assert {key: reply.text for key, reply in found.items()} == {_key(number): f"{number}" for number in range(900)}


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 10, b"SQLite format 3\x00" + b"\xff" * 200])
def test_a_foreign_or_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.sqlite").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"s\.sqlite: not a readable reply store .*; move it away to ask everything again"):
        ReplyStore(tmp_path / "s.sqlite")
    assert (tmp_path / "s.sqlite").read_bytes() == content


def test_another_sqlite_file_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    with pytest.raises(RunDirectoryError, match="an SQLite file that is no reply store; name another file as the store"):
        ReplyStore(tmp_path / "s.sqlite")


def test_another_version_is_refused(tmp_path: Path) -> None:
    ReplyStore(tmp_path / "s.sqlite").close()
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(RunDirectoryError, match="a reply store of version 7; this vg reads versions up to 2; use the vidground version"):
        ReplyStore(tmp_path / "s.sqlite")


def test_a_store_whose_table_was_dropped_is_made_anew_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ReplyStore(tmp_path / "s.sqlite") as store:
        store.put(_key(1), Reply("answered", text="x"))
        store.flush()
        connection = sqlite3.connect(tmp_path / "s.sqlite")
        connection.execute("DROP TABLE replies")
        connection.close()
        store.put(_key(2), Reply("answered", text="y"))
        store.flush()
        assert store.get_many([_key(2)])[_key(2)].text == "y"
    assert "s.sqlite: damaged (no such table: replies); salvaging its replies" in caplog.text
