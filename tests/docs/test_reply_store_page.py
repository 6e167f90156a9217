"""The page on the reply store states the constants of the code, its files and its tables."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from vidground_core.cli.store import check, merge, prune, stats
from vidground_core.records import Reply
from vidground_core.runs import store, store_file
from vidground_core.runs.store_rows import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "reply-store.md").read_text(encoding="utf-8")


def test_the_constants_are_those_of_the_code() -> None:
    assert f"waits at most {store.COMMIT_SECONDS * 1_000:.0f} ms for others" in PAGE
    assert f"of at most {store.GROUP_ROWS:,} replies" in PAGE
    assert f"at {store.WAITING_ROWS:,} replies that wait" in PAGE
    assert f"is waited for, {store_file.PATIENCE:.0f} s" in PAGE
    assert f"past {store.LOG_BYTES // 2**20} MB the run waits" in PAGE
    assert f"`PRAGMA application_id` is {store_file.APPLICATION:#x} and `user_version` {store_file.STORE_VERSION}" in PAGE


def test_the_tables_are_those_of_a_store(tmp_path: Path) -> None:
    with store.ReplyStore(tmp_path / "replies.sqlite") as made:
        made.put(bytes(32), Reply("answered", text="x"), "engine")
        made.flush()
        files = {file.name for file in tmp_path.iterdir()}
    assert files == {"replies.sqlite", "replies.sqlite-wal", "replies.sqlite-shm", "replies.sqlite-lock"}
    connection = sqlite3.connect(tmp_path / "replies.sqlite")
    for name in ("replies", "engines"):
        (line,) = re.findall(rf"^\| `{name}` \| (.+) \|$", PAGE, re.MULTILINE)
        columns = [column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")]
        assert [word for word in re.findall(r"`(\w+)`", line) if word in columns][: len(columns)] == columns
    connection.close()
    assert columns == ["id", "identity"]
    assert len(COLUMNS) == 7


def test_every_command_has_its_line() -> None:
    assert re.findall(r"^\| `vg store (\w+)", PAGE, re.MULTILINE) == [one.__name__ for one in (stats, merge, prune, check)]
