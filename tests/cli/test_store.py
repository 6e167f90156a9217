from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.records import Reply
from vidground_core.runs.store import ReplyStore

Vg = Callable[..., Any]


def _make(path: Path, numbers: range, text: str = "reply") -> Path:
    with ReplyStore(path) as store:
        for number in numbers:
            store.put(number.to_bytes(32, "big"), Reply("answered", text=text, usage=(1_000, 2)), f"engine of {path.stem}")
    return path


def test_stats_as_table_and_as_json(vg: Vg, tmp_path: Path) -> None:
    _make(tmp_path / "run" / "replies.sqlite", range(1_500))
    ran = vg("store", "stats", tmp_path / "run")
    first, header, row = ran.out.splitlines()
    assert first.startswith(f"{tmp_path}/run/replies.sqlite: 1,500 replies in ")
    assert header.split()[:2] == ["replies", "bytes"]
    assert row.split()[:5] == ["1,500", "24.0", "kB", "1,500,000", "3,000"]
    assert row.endswith("engine of replies")
    found = vg("store", "stats", tmp_path / "run", "--json").json
    assert (found["replies"], found["version"], found["engines"][0]["prompt_tokens"]) == (1_500, 2, 1_500_000)


def test_merge_prune_and_check(vg: Vg, tmp_path: Path) -> None:
    one, two = _make(tmp_path / "one.sqlite", range(100)), _make(tmp_path / "two.sqlite", range(90, 150), "other")
    ran = vg("store", "merge", tmp_path / "all.sqlite", one, two)
    assert "conflicts: 10 keys had another reply already, which stays" in ran.out
    assert f"{tmp_path}/all.sqlite: 150 added, 150 replies now" in ran.out
    again = vg("store", "merge", tmp_path / "all.sqlite", one, two, "--json").json
    assert [again[name] for name in ("read", "added", "known", "conflicts", "unreadable", "replies")] == [160, 0, 150, 10, 0, 150]
    ran = vg("store", "prune", tmp_path / "all.sqlite", "--engine", "of one", "--dry-run")
    assert ran.out == f"{tmp_path}/all.sqlite: 100 replies would be taken out, 50 would be kept\n"
    pruned = vg("store", "prune", tmp_path / "all.sqlite", "--engine", "of one", "--json").json
    assert (pruned["pruned"], pruned["kept"]) == (100, 50)
    assert vg("store", "check", tmp_path / "all.sqlite").out == f"{tmp_path}/all.sqlite: 50 replies, sound\n"


def test_a_damaged_store_is_said_on_standard_error_and_merged_as_far_as_it_can_be_read(vg: Vg, tmp_path: Path) -> None:
    one = _make(tmp_path / "one.sqlite", range(100))
    one.write_bytes(bytes(100) + one.read_bytes()[100:])
    ran = vg("store", "merge", tmp_path / "all.sqlite", one)
    assert f"{one}: damaged (file is not a database); what can be read of it was taken, the file is left as it is" in ran.err
    assert "100 added" in ran.out
    ran = vg("store", "check", one)
    assert ran.code == 0
    assert f"warning: {one}: 100 replies salvaged, 0 that are damaged dropped" in ran.err
    assert f"{one}: 100 replies, was damaged and is salvaged; the damaged file is kept as {one}.damaged-" in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["store"], "Usage: vg store"),
        (["store", "stats", "none.sqlite"], "'none.sqlite': no reply store is there; no .sqlite file is in ."),
        (["store", "stats", "."], "'.': no reply store is there"),
        (["store", "merge", "all.sqlite"], "Missing argument 'FROM...'"),
        (["store", "prune", "one.sqlite"], "nothing to prune is named"),
        (["store", "prune", "one.sqlite", "--older-than", "x"], "Invalid value for '--older-than'"),
    ],
)
def test_what_cannot_be_done_is_one_error(vg: Vg, tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = vg(*arguments, cwd=tmp_path)
    assert ran.code == 2
    assert said in ran.err + ran.out
    assert "Traceback" not in ran.err
    assert not list(tmp_path.iterdir())


def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(vg: Vg, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        filler = disk / "filler"
        filler.write_bytes(bytes(1_000_000))
        command = ("detect", "planted", "--detector", "artefacts", "--limit", "2000", "--out", disk / "out")
        ran = vg(*command)
        assert ran.code == 2
        assert "error: the disk is full" in ran.err
        assert "make room and run the same command again to go on" in ran.err
        assert "defect" not in ran.err
        filler.unlink()
        ran = vg(*command)
        assert ran.code == 0, ran.err
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
