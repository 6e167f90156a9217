"""Killed, interrupted, run again: nothing that was stored is asked twice, and the verdicts are those of an unbroken run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core.records import Verdict
from vidground_core.tables import read

DRIVE = Path(__file__).with_name("drive.py")
KILLED = -signal.SIGKILL


def _run(out: Path, *settings: str) -> int:
    command = [sys.executable, str(DRIVE), str(out), *settings]
    return subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


def _log(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _replies(out: Path) -> int:
    connection = sqlite3.connect(out / "replies.sqlite")
    (replies,) = connection.execute("SELECT count(*) FROM replies").fetchone()
    connection.close()
    return int(replies)


def _verdicts(out: Path, name: str) -> list[Verdict]:
    return list(read(out / "verdicts" / name, Verdict))


def _expected(drive: ModuleType, out: Path, name: str) -> list[Verdict]:
    detector = drive.DETECTORS[name](drive.PlainConfig())
    drive.run(out, drive.bind(detector, judge=drive.LogEngine(drive.LogConfig()) if name == "judged" else None))
    return _verdicts(out, name)


@pytest.mark.parametrize(("name", "kill_at"), [("plain", 6), ("plain", 41), ("plain", 78), ("judged", 30)])
def test_after_kill_9_exactly_the_asks_under_way_are_asked_again(drive: ModuleType, tmp_path: Path, name: str, kill_at: int) -> None:
    out, log, detector = tmp_path / "out", tmp_path / "asked.log", f"detector={name}"
    store = [f"wait_for={out / 'replies.sqlite'}"] if name == "plain" else []
    assert _run(out, detector, f"log={log}", f"kill_at={kill_at}", *store) == KILLED
    before, stored = _log(log), _replies(out)
    if name == "plain":
        # The engine's log is fsynced before its replies leave; the group commit needed no flush to have them all.
        assert kill_at - 4 <= stored == len(before) <= kill_at
    assert _run(out, detector, f"log={log}") == 0
    twice = [ask for ask, times in Counter(_log(log)).items() if times > 1]
    assert len(twice) == len(before) - stored
    assert _verdicts(out, name) == _expected(drive, tmp_path / "unbroken", name)
    assert json.loads((out / "run.json").read_text())["status"] == "done"


def test_after_kill_9_from_outside_nothing_stored_is_asked_again(drive: ModuleType, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "asked.log"
    for until in (8, 30, 60):
        command = [sys.executable, str(DRIVE), str(out), f"log={log}", "slow=0.02"]
        with subprocess.Popen(command) as process:
            while len(_log(log)) < until and process.poll() is None:
                time.sleep(0.005)
            process.kill()
    asked, stored = len(_log(log)), _replies(out)
    before = len(set(_log(log)))
    assert _run(out, f"log={log}") == 0
    assert len(set(_log(log))) == 80
    assert len(_log(log)) - asked == 80 - stored
    assert stored <= before
    assert _verdicts(out, "plain") == _expected(drive, tmp_path / "unbroken", "plain")


def test_ctrl_c_keeps_what_is_under_way_and_marks_the_run(drive: ModuleType, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "asked.log"
    with subprocess.Popen([sys.executable, str(DRIVE), str(out), f"log={log}", "slow=0.1"]) as process:
        while len(_log(log)) < 8 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    record = json.loads((out / "run.json").read_text())
    assert (record["status"], record["result"]) == ("interrupted", None)
    assert _replies(out) == len(_log(log)) < 80
    assert _run(out, f"log={log}") == 0
    assert len(_log(log)) == len(set(_log(log))) == 80
    assert _verdicts(out, "plain") == _expected(drive, tmp_path / "unbroken", "plain")


def test_a_second_ctrl_c_does_not_wait_for_the_engine(tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "asked.log"
    with subprocess.Popen([sys.executable, str(DRIVE), str(out), f"log={log}", "slow=1", "window=1"]) as process:
        while not _log(log) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert _replies(out) == 1


def test_two_runs_on_one_store_both_finish(drive: ModuleType, tmp_path: Path) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import drive; from pathlib import Path\n"
    script += "drive.run(Path(sys.argv[2]), drive.bind(drive.Plain(drive.PlainConfig())), rows=300, store=Path(sys.argv[3]))"
    command = [sys.executable, "-c", script, str(DRIVE.parent)]
    runs = [subprocess.Popen([*command, str(tmp_path / name), str(tmp_path / "s.sqlite")]) for name in ("a", "b")]
    assert [run.wait() for run in runs] == [0, 0]
    assert _verdicts(tmp_path / "a", "plain") == _verdicts(tmp_path / "b", "plain")
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    assert connection.execute("SELECT count(*) FROM replies").fetchone() == (600,)
    connection.close()
