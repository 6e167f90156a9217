"""vg detect killed at 30 random moments, interrupted, and on an engine that dies: nothing committed is asked twice, nothing wrong stored."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.records import Verdict
from vidground_core.runs.store import ReplyStore
from vidground_core.tables import read

Vg = Callable[..., Any]
KILLS, QUESTIONS, ROTATIONS, CONCURRENCY = 30, 1_600, 4, 8


@pytest.fixture
def world(counting: Path) -> Path:
    """A folder with rows.jsonl, in which every `vg` knows the engine `counting`."""
    with (counting / "rows.jsonl").open("w") as out:
        for number in range(QUESTIONS):
            row = {"id": f"q{number}", "question": f"What is seen in {number}?", "options": ["a cat", "a dog", "a cow", "a hen"]}
            out.write(json.dumps(row | {"answer": "a cat", "group": f"v{number // 5}"}) + "\n")
    return counting


def _command(world: Path, out: str, *more: str) -> list[str]:
    options = ("--detector", "blind-llm", "--engine", "counting", "--model", "m")
    return ["detect", f"canonical:{world / 'rows.jsonl'}", *options, "--out", str(world / out), *more]


def _verdicts(world: Path, out: str) -> list[Verdict]:
    return list(read(world / out / "verdicts" / "blind-llm", Verdict))


def _logged(log: Path, word: str) -> list[str]:
    return [line.split()[1] for line in log.read_text().splitlines() if line.startswith(f"{word} ")] if log.exists() else []


@pytest.mark.slow
def test_killed_at_30_random_moments_nothing_committed_is_asked_again(world: Path, vg: Vg) -> None:
    """What may be asked again is what a kill found under way (at most `CONCURRENCY`) or answered within the last group commit."""
    arguments = _command(world, "killed", "--set", "engine.seconds=0.004", "--set", f"engine.log={world / 'log'}")
    seed = random.randrange(10**6)
    command = [sys.executable, str(world / "site" / "counting_engine.py"), str(KILLS), str(seed), str(world / "log"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"seed {seed}: {ran.stderr}"
    *kills, last = json.loads(ran.stdout)["sessions"]
    assert [session["code"] for session in kills] == [-signal.SIGKILL] * KILLS, f"seed {seed}"
    assert last["code"] == 0

    asked_again: Counter[str] = Counter()
    kept: set[str] = set()
    for session in (*kills, last):
        taken, answered, stored = set(session["taken"]), set(session["answered"]), set(session["stored"])
        assert len(taken) == len(session["taken"]), "asked twice in one session"
        assert not taken & kept, "a committed reply was asked again"
        assert kept <= stored, "a committed reply was lost"
        assert stored <= kept | answered, "a reply is stored that no engine gave"
        assert len(taken - answered) <= CONCURRENCY
        asked_again.update(taken - stored)
        kept = stored
    every = Counter(key for session in (*kills, last) for key in session["taken"])
    assert len(every) == len(kept) == QUESTIONS * ROTATIONS
    assert {key: times - 1 for key, times in every.items() if times > 1} == dict(asked_again)
    assert sum(bool(session["taken"]) for session in kills) > KILLS / 2, "the kills found nothing under way"

    assert vg(*_command(world, "unbroken")).code == 0
    assert _verdicts(world, "killed") == _verdicts(world, "unbroken")
    with ReplyStore(world / "killed" / "replies.sqlite") as one, ReplyStore(world / "unbroken" / "replies.sqlite") as other:
        keys = [bytes.fromhex(key) for key in kept]
        assert one.get_many(keys) == other.get_many(keys)
        assert len(other.get_many(keys)) == QUESTIONS * ROTATIONS


def _started(arguments: list[str], log: Path, *, until: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "vidground_core.cli.app", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(_logged(log, "taken")) < until and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_takes_what_is_under_way_and_says_how_to_go_on(world: Path, vg: Vg, number: signal.Signals) -> None:
    log = world / "log"
    arguments = _command(world, "out", "--limit", "40", "--set", f"engine.log={log}")
    process = _started([*arguments, "--set", "engine.seconds=0.1"], log, until=12)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    taken = _logged(log, "taken")
    assert (process.returncode, out) == (130, "")
    assert "interrupted; what was done is kept. Run the same command again to go on:\nvg detect " in err
    assert set(_logged(log, "answered")) == set(taken)
    assert len(taken) < 160
    with ReplyStore(world / "out" / "replies.sqlite") as store:
        assert len(store) == len(taken)
    assert json.loads((world / "out" / "run.json").read_text())["status"] == "interrupted"
    command = err.strip().splitlines()[-1].split()
    assert command[0] == "vg"
    ran = vg(*command[1:], "--json")
    assert ran.json["detectors"][0]["asked"] == 160 - len(taken)
    assert set(Counter(_logged(log, "taken")).values()) == {1}


def test_a_second_ctrl_c_ends_at_once(world: Path) -> None:
    log = world / "log"
    process = _started(_command(world, "out", "--set", "engine.seconds=3600", "--set", f"engine.log={log}"), log, until=CONCURRENCY)
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in err
    assert _logged(log, "answered") == []


def test_an_engine_that_dies_ends_the_run_with_what_is_done_kept(world: Path, vg: Vg) -> None:
    log = world / "log"
    arguments = _command(world, "out", "--limit", "50", "--set", f"engine.log={log}")
    ran = vg(*arguments, "--set", "engine.dies_at=77")
    assert ran.code == 2
    assert "error: the engine 'counting' died: RuntimeError: the machine is gone; its replies so far are kept, the same command" in ran.err
    with ReplyStore(world / "out" / "replies.sqlite") as store:
        kept = len(store)
    assert 77 - CONCURRENCY <= kept <= 77
    assert vg(*arguments, "--json").json["detectors"][0]["asked"] == 200 - kept
    assert _verdicts(world, "out")
