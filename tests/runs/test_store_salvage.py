"""Damaged stores: what can be read is salvaged, said, and nothing wrong comes out."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core.errors import RunDirectoryError
from vidground_core.records import Reply
from vidground_core.runs.store import ReplyStore
from vidground_core.runs.store_upkeep import check_store, merge_stores, store_stats

ROWS = 2_000
PAGE = 4_096


def _key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def _reply(number: int) -> Reply:
    if number % 3:
        return Reply("answered", logprobs=(-number / 7, -1.5), tokens=(1, 2), usage=(number, 1))
    # Every hundredth or so is longer than a page.
    return Reply("answered", text=f"reply {number} " + "x" * (9_000 if number % 99 == 0 else 40))


def _make(path: Path, numbers: range = range(ROWS)) -> None:
    with ReplyStore(path) as store:
        for number in numbers:
            store.put(_key(number), _reply(number), "engine of the test")


def _make_with_log(path: Path) -> None:
    """Half of the replies in the file, all later ones only in its write-ahead log, as a killed process leaves them."""
    folder = path.parent / "being made"
    _make(folder / "s.sqlite", range(ROWS // 2))
    with ReplyStore(folder / "s.sqlite") as store:
        for number in range(ROWS // 2, ROWS):
            store.put(_key(number), _reply(number), "engine of the test")
            if number % 100 == 99:
                store.flush()
        for suffix in ("", "-wal"):
            shutil.copy(folder / f"s.sqlite{suffix}", f"{path}{suffix}")


def _found(path: Path) -> dict[bytes, Reply]:
    """What a store gives for all keys; every reply is exactly the one put."""
    with ReplyStore(path) as store:
        found = store.get_many(_key(number) for number in range(ROWS))
        assert len(store) == len(found)
    expected = {_key(number): _reply(number) for number in range(ROWS)}
    assert all(reply == expected[key] and reply.usage == expected[key].usage for key, reply in found.items())
    return found


def _damage(path: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def _pages(content: bytes, kind: int) -> list[int]:
    """Offsets of the pages of a kind, without the first and the last: 13 holds rows, 10 index entries, 2 and 5 lead to them."""
    return [offset for offset in range(PAGE, len(content) - PAGE, PAGE) if content[offset] == kind]


def _zero(content: bytearray, kind: int) -> None:
    offsets = _pages(content, kind)
    offset = offsets[len(offsets) // 2]
    content[offset : offset + PAGE] = bytes(PAGE)


def _flip_in_a_reply(content: bytearray) -> None:
    content[content.index(b"reply 300 ") + 6] ^= 1


@pytest.mark.parametrize(
    ("change", "least"),
    [
        pytest.param(lambda content: content.__setitem__(slice(0, 100), bytes(100)), ROWS, id="header zeroed"),
        pytest.param(lambda content: content.__setitem__(slice(0, PAGE), b"\xa5" * PAGE), ROWS, id="first page overwritten"),
        pytest.param(lambda content: _zero(content, 2), ROWS, id="page that leads through the index"),
        pytest.param(lambda content: _zero(content, 5), ROWS, id="page that leads to the rows"),
        pytest.param(lambda content: _zero(content, 13), ROWS - 80, id="page of rows"),
        pytest.param(lambda content: content.__delitem__(slice(len(content) // 2, None)), ROWS // 4, id="cut in the middle"),
        pytest.param(lambda content: content.__delitem__(slice(len(content) - 1_000, None)), ROWS - 80, id="last page cut"),
        pytest.param(_flip_in_a_reply, ROWS - 1, id="one bit of a reply"),
    ],
)
def test_a_damaged_store_is_salvaged_when_it_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Callable[[bytearray], object], least: int
) -> None:
    _make(tmp_path / "s.sqlite")
    _damage(tmp_path / "s.sqlite", change)
    damaged = (tmp_path / "s.sqlite").read_bytes()
    found = _found(tmp_path / "s.sqlite")
    assert least <= len(found) <= ROWS
    begun, ended = [record.getMessage() for record in caplog.records]
    (kept,) = tmp_path.glob("s.sqlite.damaged-*")
    assert begun.startswith(f"{tmp_path}/s.sqlite: damaged (")
    assert begun.endswith("salvaging its replies")
    assert f"s.sqlite: {len(found)} replies salvaged, " in ended
    assert f"what is missing is asked again; the damaged file is kept as {kept.name}" in ended
    assert kept.read_bytes() == damaged
    assert check_store(tmp_path / "s.sqlite")["sound"]
    (engine,) = store_stats(tmp_path / "s.sqlite")["engines"]
    assert engine["engine"] in ("engine of the test", "(not recorded)")
    caplog.clear()
    assert len(_found(tmp_path / "s.sqlite")) == len(found)
    assert not caplog.records


def _overwrite(content: bytearray, drawn: random.Random) -> None:
    """Damage of a kind and at a place drawn by lot."""
    place = drawn.randrange(len(content))
    kind = drawn.choice(["bit", "bits", "noise", "page", "cut"])
    if kind == "bit":
        content[place] ^= 1 << drawn.randrange(8)
    elif kind == "bits":
        for _ in range(100):
            content[drawn.randrange(len(content))] ^= 1 << drawn.randrange(8)
    elif kind == "noise":
        content[place : place + 9_000] = drawn.randbytes(len(content[place : place + 9_000]))
    elif kind == "page":
        begin = place // PAGE * PAGE
        content[begin : begin + PAGE] = bytes(PAGE)
    else:
        del content[place:]


def test_whatever_the_damage_nothing_wrong_comes_out_and_what_is_missing_can_be_put_again(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    _make_with_log(tmp_path / "whole" / "s.sqlite")
    drawn = random.Random(5)
    for trial in range(30):
        path = tmp_path / str(trial) / "s.sqlite"
        path.parent.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{tmp_path}/whole/s.sqlite{suffix}", f"{path}{suffix}")
        _damage(path if trial % 2 else path.with_name("s.sqlite-wal"), lambda content: _overwrite(content, drawn))
        found = _found(path)
        with ReplyStore(path) as store:
            for number in range(ROWS):
                if _key(number) not in found:
                    store.put(_key(number), _reply(number))
        assert len(_found(path)) == ROWS


def test_a_damaged_reply_is_counted_and_can_be_put_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _make(tmp_path / "s.sqlite")
    _damage(tmp_path / "s.sqlite", _flip_in_a_reply)
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert store.get_many([_key(300)]) == {}
        assert f"{ROWS - 1} replies salvaged, 1 that are damaged dropped" in caplog.text
        store.put(_key(300), _reply(300))
        store.flush()
        assert store.get_many([_key(300)]) == {_key(300): _reply(300)}


@pytest.mark.parametrize(
    ("change", "least"),
    [
        pytest.param(lambda log: log.__setitem__(slice(0, 32), b"\x5a" * 32), ROWS, id="header of the log"),
        pytest.param(lambda log: log.__setitem__(slice(None), b"\x5a" * len(log)), ROWS // 2, id="all of the log"),
        pytest.param(lambda log: log.__setitem__(slice(32 + 24, 32 + 24 + PAGE), bytes(PAGE)), ROWS - 60, id="first page in the log"),
        pytest.param(lambda log: log.__setitem__(slice(32 + 5 * 4_120, 32 + 5 * 4_120 + 24), bytes(24)), ROWS - 60, id="a frame's head"),
    ],
)
def test_a_damaged_log_is_salvaged_where_sqlite_would_leave_it_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Callable[[bytearray], object], least: int
) -> None:
    _make_with_log(tmp_path / "s.sqlite")
    _damage(tmp_path / "s.sqlite-wal", change)
    found = _found(tmp_path / "s.sqlite")
    assert least <= len(found) <= ROWS
    assert "write-ahead log is damaged" in caplog.text
    assert f"{len(found)} replies salvaged" in caplog.text
    (kept,) = tmp_path.glob("s.sqlite.damaged-*-wal")
    assert kept.stat().st_size > 100_000


def test_an_intact_log_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _make_with_log(tmp_path / "s.sqlite")
    # A group that was being written when the process was killed.
    _damage(tmp_path / "s.sqlite-wal", lambda log: log.extend(log[32 : 32 + 2_000]))
    assert len(_found(tmp_path / "s.sqlite")) == ROWS
    assert not caplog.records


@pytest.mark.parametrize("gone", [True, False])
def test_a_store_of_which_only_the_log_is_left_gives_what_the_log_has(tmp_path: Path, caplog: pytest.LogCaptureFixture, gone: bool) -> None:
    _make_with_log(tmp_path / "s.sqlite")
    (tmp_path / "s.sqlite").unlink() if gone else (tmp_path / "s.sqlite").write_bytes(b"")
    found = _found(tmp_path / "s.sqlite")
    assert all(_key(number) in found for number in range(ROWS // 2, ROWS))
    assert "the file is gone or empty and its write-ahead log is there" in caplog.text


def test_damage_that_comes_while_the_store_is_open_is_salvaged_and_what_is_put_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _make(tmp_path / "s.sqlite", range(1_500))
    with ReplyStore(tmp_path / "s.sqlite") as store, ReplyStore(tmp_path / "s.sqlite") as other:
        assert store.get_many([_key(0)])
        with (tmp_path / "s.sqlite").open("r+b") as file:
            file.seek(PAGE)
            file.write(b"\xee" * (20 * PAGE))
        for number in range(1_500, ROWS):
            store.put(_key(number), _reply(number))
        store.flush()
        found = store.get_many(_key(number) for number in range(ROWS))
        assert all(found[_key(number)] == _reply(number) for number in range(1_500, ROWS))
        assert len(found) > 800
        # The one that did not find the damage reads and writes the new file too.
        assert other.get_many(_key(number) for number in range(ROWS)) == found
        other.put(_key(ROWS), Reply("answered", text="by the other"))
        other.flush()
        assert store.get_many([_key(ROWS)])[_key(ROWS)].text == "by the other"
    assert caplog.text.count("replies salvaged") == 1
    assert len(list(tmp_path.glob("s.sqlite.damaged-*"))) == 1


def test_two_processes_that_find_the_damage_at_once_salvage_it_once(tmp_path: Path) -> None:
    _make(tmp_path / "s.sqlite")
    _damage(tmp_path / "s.sqlite", lambda content: content.__setitem__(slice(0, 100), bytes(100)))
    script = """
        import hashlib, logging, sys
        from pathlib import Path
        from vidground_core.records import Reply
        from vidground_core.runs.store import ReplyStore
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
        with ReplyStore(Path(sys.argv[1])) as store:
            for number in range(2_000, 2_300):
                store.put(hashlib.sha256(str(number).encode()).digest(), Reply("answered", text="new"))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "s.sqlite")]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = "".join(writer.communicate()[0] for writer in writers)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert said.count(f"{ROWS} replies salvaged") == 1
    assert len(list(tmp_path.glob("s.sqlite.damaged-*"))) == 1
    with ReplyStore(tmp_path / "s.sqlite") as store:
        assert len(store) == ROWS + 300


@pytest.mark.parametrize("moment", ["_build", "os.link", "_put_in_place", "sync_folder"])
def test_a_salvage_that_is_killed_is_ended_at_the_next_opening(tmp_path: Path, moment: str) -> None:
    _make_with_log(tmp_path / "s.sqlite")
    _damage(tmp_path / "s.sqlite-wal", lambda log: log.__setitem__(slice(0, 32), bytes(32)))
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from vidground_core.runs import store_salvage
        from vidground_core.runs.store import ReplyStore
        whole = store_salvage.{moment}
        def killed(*arguments):
            if {moment in ("_build", "os.link")}:
                whole(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        store_salvage.{moment} = killed
        ReplyStore(Path(sys.argv[1]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "s.sqlite")], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(_found(tmp_path / "s.sqlite")) == ROWS
    assert len([kept for kept in tmp_path.glob("s.sqlite.damaged-*") if not kept.name.endswith("-wal")]) == 1
    assert not list(tmp_path.glob("s.sqlite-salvag*"))


def test_a_damaged_store_of_version_1_is_salvaged(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL)")
    connection.execute(f"PRAGMA application_id = {0x56475250}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute("BEGIN")
    for number in range(ROWS):
        connection.execute("INSERT INTO replies VALUES (?, ?)", (_key(number), f'{{"text":"{number}"}}'))
    connection.execute("INSERT INTO replies VALUES (?, ?)", (_key(ROWS), '{"text":12}'))
    connection.execute("COMMIT")
    connection.close()
    _damage(tmp_path / "s.sqlite", lambda content: content.__setitem__(slice(0, 100), bytes(100)))
    with ReplyStore(tmp_path / "s.sqlite") as store:
        found = store.get_many(_key(number) for number in range(ROWS + 1))
    assert {key: reply.text for key, reply in found.items()} == {_key(number): str(number) for number in range(ROWS)}


def test_a_damaged_index_is_found_by_the_check(tmp_path: Path) -> None:
    _make(tmp_path / "s.sqlite")

    def change(content: bytearray) -> None:
        offset = _pages(content, 10)[0]
        content[offset + PAGE - 10] ^= 1  # within a key

    _damage(tmp_path / "s.sqlite", change)
    result = check_store(tmp_path / "s.sqlite")
    assert (result["sound"], result["replies"], len(result["kept"])) == (False, ROWS, 1)
    assert "index" in result["problems"][0]
    assert len(_found(tmp_path / "s.sqlite")) == ROWS
    assert check_store(tmp_path / "s.sqlite") == {**result, "sound": True, "problems": [], "kept": []}


def test_the_application_number_or_the_tables_names_overwritten_is_damage(tmp_path: Path) -> None:
    for name, change in (("number", lambda page: page.__setitem__(70, 7)), ("names", lambda page: page.replace(b"checksum", b"checkout"))):
        _make(tmp_path / name)
        content = bytearray((tmp_path / name).read_bytes())
        content = change(content) or content
        (tmp_path / name).write_bytes(content)
        assert len(_found(tmp_path / name)) == ROWS


def test_a_damaged_store_is_merged_from_as_far_as_it_can_be_read_and_left_as_it_is(tmp_path: Path) -> None:
    _make(tmp_path / "s.sqlite")
    _damage(tmp_path / "s.sqlite", lambda content: content.__setitem__(slice(0, 100), bytes(100)))
    before = (tmp_path / "s.sqlite").read_bytes()
    result = merge_stores(tmp_path / "all.sqlite", [tmp_path / "s.sqlite"])
    assert (result["added"], result["unreadable"], result["sources"][0]["damage"]) == (ROWS, 0, "file is not a database")
    assert (tmp_path / "s.sqlite").read_bytes() == before
    assert len(_found(tmp_path / "all.sqlite")) == ROWS
    with pytest.raises(
        RunDirectoryError, match=r"s\.sqlite: damaged, or no reply store \(file is not a database\); vg store check .*s\.sqlite salv"
    ):
        store_stats(tmp_path / "s.sqlite")


def test_a_run_goes_on_over_a_damaged_store_and_asks_only_what_was_lost(drive: ModuleType, tmp_path: Path) -> None:
    plain, store = drive.Plain(drive.PlainConfig()), tmp_path / "replies.sqlite"
    drive.run(tmp_path / "first", drive.bind(plain), rows=300, store=store)
    _damage(store, lambda content: _zero(content, 13))
    (counts,) = drive.run(tmp_path / "second", drive.bind(plain), rows=300, store=store)
    assert counts.asked + counts.reused == 600
    assert 0 < counts.asked < 100
    (counts,) = drive.run(tmp_path / "third", drive.bind(plain), rows=300, store=store)
    assert (counts.asked, counts.reused) == (0, 600)
