"""vg store's work on real stores: numbers, merging, pruning, checking."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import tracemalloc
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core.errors import ConfigError, InputError, RunDirectoryError
from vidground_core.records import Reply
from vidground_core.runs.store import ReplyStore
from vidground_core.runs.store_file import STORE_VERSION
from vidground_core.runs.store_upkeep import check_store, merge_stores, prune_store, store_stats


def _key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def _make(path: Path, numbers: range, *, engine: str = "engine a", text: str = "reply {}") -> Path:
    with ReplyStore(path) as store:
        for number in numbers:
            store.put(_key(number), Reply("answered", text=text.format(number), usage=(10, 3)), engine)
    return path


def _make_version_1(path: Path, numbers: range) -> Path:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL)")
    connection.execute(f"PRAGMA application_id = {0x56475250}")
    connection.execute("PRAGMA user_version = 1")
    connection.executemany("INSERT INTO replies VALUES (?, ?)", ((_key(n), f'{{"text":"reply {n}","usage":[10,3]}}') for n in numbers))
    connection.execute("INSERT INTO replies VALUES (?, ?)", (_key(-1), '{"logprobs":[-Infinity,-1.0],"tokens":[1,2],"usage":[7,0]}'))
    connection.close()
    return path


def _aged(path: Path, days: float, numbers: range) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    stored = int(time.time() - days * 86_400)
    connection.executemany("UPDATE replies SET stored = ? WHERE key = ?", ((stored, _key(number)) for number in numbers))
    connection.close()


def test_stats_count_by_engine(tmp_path: Path) -> None:
    store = _make(tmp_path / "s.sqlite", range(100))
    _make(store, range(50, 130), engine="engine b")
    found = store_stats(store)
    assert (found["replies"], found["prompt_tokens"], found["generated_tokens"]) == (130, 1_300, 390)
    assert found["bytes"] == store.stat().st_size
    assert found["version"] == STORE_VERSION
    assert [(one["engine"], one["replies"], one["prompt_tokens"]) for one in found["engines"]] == [
        ("engine a", 100, 1_000),
        ("engine b", 30, 300),
    ]
    assert found["engines"][0]["reply_bytes"] == sum(len(f'{{"text":"reply {number}"}}') for number in range(100))
    assert found["engines"][0]["first"] <= found["engines"][0]["last"]


def test_stats_of_a_store_being_written_and_of_version_1_change_nothing(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "live.sqlite") as store:
        store.put(_key(1), Reply("answered", text="x"), "engine a")
        store.flush()
        assert store_stats(tmp_path / "live.sqlite")["replies"] == 1
    old = _make_version_1(tmp_path / "old.sqlite", range(20))
    before = old.read_bytes()
    found = store_stats(old)
    assert (found["version"], found["replies"], found["prompt_tokens"]) == (1, 21, 200)
    assert found["engines"][0]["engine"] == "(not recorded)"
    assert old.read_bytes() == before
    assert [file.name for file in tmp_path.glob("old.sqlite*")] == ["old.sqlite"]


def test_stats_of_an_empty_store(tmp_path: Path) -> None:
    ReplyStore(tmp_path / "s.sqlite").close()
    found = store_stats(tmp_path / "s.sqlite")
    assert (found["replies"], found["engines"]) == (0, [])


def test_merge_takes_what_is_missing_and_keeps_what_is_there(tmp_path: Path) -> None:
    into = _make(tmp_path / "into.sqlite", range(100))
    same = _make(tmp_path / "same.sqlite", range(50, 200), engine="engine b")
    other = _make(tmp_path / "run" / "replies.sqlite", range(190, 220), text="another {}")
    files = {path: path.read_bytes() for path in (same, other)}
    result = merge_stores(into, [same, tmp_path / "run"])
    counts = [[one[name] for name in ("read", "added", "known", "conflicts", "unreadable")] for one in result["sources"]]
    assert counts == [[150, 100, 50, 0, 0], [30, 20, 0, 10, 0]]
    assert (result["replies"], result["added"], result["conflicts"], result["into"]) == (220, 120, 10, str(into))
    assert {path: path.read_bytes() for path in files} == files
    with ReplyStore(into) as store:
        found = store.get_many(map(_key, range(300)))
    assert {key: reply.text for key, reply in found.items()} == {
        **{_key(n): f"reply {n}" for n in range(200)},
        **{_key(n): f"another {n}" for n in range(200, 220)},
    }
    assert {one["engine"]: one["replies"] for one in store_stats(into)["engines"]} == {"engine a": 120, "engine b": 100}
    again = merge_stores(into, [same, tmp_path / "run"])
    assert (again["added"], again["known"], again["conflicts"], again["replies"]) == (0, 170, 10, 220)
    assert check_store(into)["sound"]


def test_merge_makes_a_store_or_a_run_directory(tmp_path: Path) -> None:
    one = _make(tmp_path / "one.sqlite", range(10))
    assert merge_stores(tmp_path / "new" / "all.sqlite", [one])["into"] == str(tmp_path / "new" / "all.sqlite")
    assert merge_stores(tmp_path / "out", [one])["into"] == str(tmp_path / "out" / "replies.sqlite")
    assert store_stats(tmp_path / "out")["replies"] == store_stats(tmp_path / "new" / "all.sqlite")["replies"] == 10


def test_merge_reads_version_1(tmp_path: Path) -> None:
    old = _make_version_1(tmp_path / "old.sqlite", range(20))
    into = _make(tmp_path / "into.sqlite", range(10))
    result = merge_stores(into, [old])
    assert [result[name] for name in ("read", "added", "known", "conflicts")] == [21, 11, 10, 0]
    with ReplyStore(into) as store:
        found = store.get_many([_key(-1), _key(19)])
    assert found == {
        _key(-1): Reply("answered", logprobs=(float("-inf"), -1.0), tokens=(1, 2)),
        _key(19): Reply("answered", text="reply 19"),
    }
    assert found[_key(19)].usage == (10, 3)
    assert old.stat().st_size
    assert store_stats(old)["version"] == 1


def test_merge_while_both_stores_are_written(tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "a.sqlite") as source, ReplyStore(tmp_path / "b.sqlite") as target:
        for number in range(300):
            source.put(_key(number), Reply("answered", text="x"), "engine a")
        source.flush()
        target.put(_key(1_000), Reply("answered", text="y"), "engine b")
        assert merge_stores(tmp_path / "b.sqlite", [tmp_path / "a.sqlite"])["added"] == 300
        target.put(_key(1_001), Reply("answered", text="y"), "engine b")
        target.flush()
        assert len(target) == 302
        assert len(target.get_many(map(_key, range(300)))) == 300


def test_merge_killed_in_the_middle_is_ended_by_the_same_call(tmp_path: Path) -> None:
    source = _make(tmp_path / "source.sqlite", range(12_000))
    script = """
        import os, signal, sys
        from pathlib import Path
        from vidground_core.runs import store_upkeep
        def killed(done, total):
            os.kill(os.getpid(), signal.SIGKILL)
        store_upkeep.merge_stores(Path(sys.argv[1]), [Path(sys.argv[2])], advance=killed)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "into.sqlite"), str(source)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    result = merge_stores(tmp_path / "into.sqlite", [source])
    assert [result[name] for name in ("read", "added", "known", "conflicts", "replies")] == [12_000, 10_000, 2_000, 0, 12_000]


def test_merge_holds_only_some_rows_at_a_time(tmp_path: Path) -> None:
    source = _make(tmp_path / "source.sqlite", range(15_000), text="x" * 1_000 + "{}")
    assert source.stat().st_size > 15_000_000
    tracemalloc.start()
    merge_stores(tmp_path / "into.sqlite", [source])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000


def test_merge_refuses_what_it_cannot_do_before_it_writes_anything(tmp_path: Path) -> None:
    one = _make(tmp_path / "one.sqlite", range(3))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "replies.sqlite").symlink_to(one)
    with pytest.raises(InputError, match=r"run' is the store that is merged into; name other stores to merge from"):
        merge_stores(one, [tmp_path / "run"])
    with pytest.raises(InputError, match=r"two\.sqlite': no reply store is there; .* has one\.sqlite; give a store's file, or the --out"):
        merge_stores(tmp_path / "new.sqlite", [one, tmp_path / "two.sqlite"])
    (tmp_path / "text.sqlite").write_text("no store at all")
    with pytest.raises(RunDirectoryError, match=r"text\.sqlite: not a readable reply store \(file is not a database\)"):
        merge_stores(tmp_path / "new.sqlite", [one, tmp_path / "text.sqlite"])
    connection = sqlite3.connect(tmp_path / "songs.sqlite")
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    with pytest.raises(InputError, match=r"songs\.sqlite: an SQLite file that is no reply store; give a store's file"):
        merge_stores(tmp_path / "new.sqlite", [tmp_path / "songs.sqlite"])
    newer = _make(tmp_path / "newer.sqlite", range(3))
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(RunDirectoryError, match=r"newer\.sqlite: a reply store of version 9; this vg reads versions up to 2; use"):
        merge_stores(tmp_path / "new.sqlite", [newer])
    assert not (tmp_path / "new.sqlite").exists()


def test_prune_by_engine_gives_the_space_back(tmp_path: Path) -> None:
    store = _make(tmp_path / "s.sqlite", range(3_000), engine="model x, revision 1")
    _make(store, range(3_000, 4_000), engine="model x, revision 2")
    size = store.stat().st_size
    tried = prune_store(store, engines=["revision 1"], dry_run=True)
    assert (tried["pruned"], tried["kept"], tried["freed_bytes"], tried["bytes"]) == (3_000, 1_000, 0, size)
    assert store_stats(store)["replies"] == 4_000
    done = prune_store(store, engines=["revision 1"])
    assert (done["pruned"], done["kept"], done["bytes"]) == (3_000, 1_000, store.stat().st_size)
    assert done["freed_bytes"] == size - store.stat().st_size > size / 2
    with ReplyStore(store) as opened:
        assert set(opened.get_many(map(_key, range(4_000)))) == {_key(number) for number in range(3_000, 4_000)}
        opened.put(_key(1), Reply("answered", text="asked again"), "model x, revision 1")
    assert {one["engine"]: one["replies"] for one in store_stats(store)["engines"]} == {
        "model x, revision 1": 1,
        "model x, revision 2": 1_000,
    }
    assert check_store(store)["sound"]


def test_prune_by_age_and_by_both(tmp_path: Path) -> None:
    store = _make(tmp_path / "s.sqlite", range(100))
    _make(store, range(100, 200), engine="engine b")
    _aged(store, 10, range(50, 150))
    assert prune_store(store, older_than=9, engines=["engine b"])["pruned"] == 50
    assert prune_store(store, older_than=9)["pruned"] == 50
    assert prune_store(store, older_than=9)["pruned"] == 0
    assert store_stats(store)["replies"] == 100


def test_prune_of_replies_whose_engine_and_time_are_not_known(tmp_path: Path) -> None:
    store = _make_version_1(tmp_path / "s.sqlite", range(30))
    _make(store, range(30, 40))
    assert prune_store(store, older_than=0.5)["pruned"] == 0
    assert prune_store(store, engines=["not recorded"])["pruned"] == 31
    assert store_stats(store)["replies"] == 10


def test_prune_while_a_run_writes(tmp_path: Path) -> None:
    store = _make(tmp_path / "s.sqlite", range(500))
    with ReplyStore(store) as opened:
        opened.put(_key(900), Reply("answered", text="x"), "engine b")
        opened.flush()
        assert prune_store(store, engines=["engine a"])["pruned"] == 500
        opened.put(_key(901), Reply("answered", text="x"), "engine b")
        opened.flush()
        assert set(opened.get_many(map(_key, range(1_000)))) == {_key(900), _key(901)}
    assert {one["engine"]: one["replies"] for one in store_stats(store)["engines"]} == {"engine b": 2}


def test_prune_refuses_what_names_nothing(tmp_path: Path) -> None:
    store = _make(tmp_path / "s.sqlite", range(3))
    with pytest.raises(ConfigError, match="nothing to prune is named: --engine TEXT, --older-than DAYS, or both"):
        prune_store(store)
    with pytest.raises(
        ConfigError, match=r"--engine 'engine c': no reply of .*s\.sqlite is of such an engine; did you mean 'engine a'\? there"
    ):
        prune_store(store, engines=["engine a", "engine c"])
    with pytest.raises(ConfigError, match="--engine '': no reply of"):
        prune_store(store, engines=[""])
    assert store_stats(store)["replies"] == 3


def test_stores_of_shards_are_merged_and_the_whole_run_asks_nothing(drive: ModuleType, tmp_path: Path) -> None:
    plain = drive.Plain(drive.PlainConfig())
    for shard, rows in (("a", 25), ("b", 40)):
        drive.run(tmp_path / shard, drive.bind(plain), rows=rows)
    result = merge_stores(tmp_path / "all", [tmp_path / "a", tmp_path / "b"])
    assert [result[name] for name in ("read", "added", "known", "conflicts")] == [130, 80, 50, 0]
    log = tmp_path / "asked.log"
    assert drive.main(str(tmp_path / "all"), "rows=40", f"log={log}") == 0
    assert not log.exists()
    assert {one["engine"]: one["replies"] for one in store_stats(tmp_path / "all")["engines"]} == {"log 0": 80}
