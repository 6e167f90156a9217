"""Progress: the pace of this session, plain lines in a pipe, JSON lines with --json."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vidground_core.cli import progress
from vidground_core.cli.output import Output
from vidground_core.cli.progress import Pace, ProgressLine, duration
from vidground_core.runs.standing import Spent, Standing

Vg = Callable[..., Any]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def _lines(output: Output) -> list[str]:
    file = output.note_console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


@pytest.fixture
def output() -> Output:
    made = Output()
    made.note_console = Console(file=io.StringIO(), highlight=False, soft_wrap=True)
    return made


def test_the_pace_is_that_of_the_last_minute_of_this_session() -> None:
    pace = Pace(0.0)
    assert pace.rates == (0.0, 0.0)
    pace.add(10.0, 100, 400)
    assert pace.rates == pytest.approx((10, 40))
    for second in range(20, 200, 10):
        pace.add(float(second), 100 + second, 400 + 4 * second)
    assert pace.rates == pytest.approx((1, 4))


def test_what_was_done_before_does_not_shorten_the_time_left(output: Output, clock: Clock) -> None:
    with ProgressLine(output, "blind-llm") as line:
        clock.now += 2
        line.update(Standing(done=9_020, total=10_000, judged=20, asked=80, reused=36_000, spent=Spent(80, 7_000, 80, 1.234)))
    (said,) = _lines(output)
    assert said == "blind-llm: 9020 of 10000 (90.2%), 10.0/s, 80 asked, 36000 reused, 7.08k tokens, $1.23, 2 min left"


def test_a_pipe_gets_an_early_line_and_then_one_now_and_then(output: Output, clock: Clock) -> None:
    with ProgressLine(output, "d") as line:
        for _ in range(60):
            clock.now += 0.5
            line.update(Standing(done=int(clock.now), total=1_000, judged=int(clock.now)))
    assert [said.split(",")[0] for said in _lines(output)] == ["d: 101 of 1000 (10.1%)", "d: 111 of 1000 (11.1%)", "d: 121 of 1000 (12.1%)"]


def test_failures_and_plain_counts_are_shown(output: Output, clock: Clock) -> None:
    with ProgressLine(output, "d") as line:
        clock.now += 2
        line.update(Standing(done=0, total=10, asked=3, failed=2))
    with ProgressLine(output, "merging") as line:
        clock.now += 2
        line.update(30, 60)
        clock.now += 20
        line.update(31)
    assert _lines(output) == [
        "d: 0 of 10 (0.0%), 0.0/s, 3 asked, 2 failed",
        "merging: 30 of 60 (50.0%), 15.0/s, 2 s left",
        "merging: 31, 1.4/s",
    ]


def test_quiet_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (True, False):
        with ProgressLine(Output(quiet=True, as_json=as_json), "d") as line:
            clock.now += 100
            line.update(Standing(1, 2))
    assert capsys.readouterr() == ("", "")


def test_json_events_come_at_once_every_second_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(Output(as_json=True), "blind-llm") as line:
        for step in range(1, 12):
            line.update(Standing(done=step, total=11, judged=step, asked=4 * step, reused=1, failed=2, spent=Spent(step, 10, 5, 0.5)))
            clock.now += 0.25
    events = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    assert [event["done"] for event in events] == [1, 5, 9, 11]
    assert events[1] == {
        "event": "progress",
        "detector": "blind-llm",
        "done": 5,
        "total": 11,
        "asked": 20,
        "reused": 1,
        "failed": 2,
        "rate": 5.0,
        "asks_per_second": 20.0,
        "tokens": 15,
        "cost": 0.5,
        "seconds_left": 1.2,
    }


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (89, "89 s"), (90, "2 min"), (5_000, "83 min"), (12_000, "3.3 h")])
def test_durations_for_a_person(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_terminal_gets_a_bar(output: Output, clock: Clock) -> None:
    terminal = io.StringIO()
    output.note_console = Console(file=terminal, force_terminal=True, width=160)
    with ProgressLine(output, "blind-llm") as line:
        clock.now += 2
        line.update(Standing(done=20, total=100, judged=20, asked=80, failed=1))
        assert line._bar is not None
        line._bar.refresh()
    for part in ("blind-llm", "20/100", "10.0/s, 80 asked, 1 failed, 8 s left"):
        assert part in terminal.getvalue()


def test_standard_error_holds_events_and_standard_output_one_object(counting: Path, tmp_path: Path, vg: Vg) -> None:
    ran = vg("audit", "planted:test", "--detector", "question-only", "--limit", "50", "--out", tmp_path / "o", "--json")
    assert ran.json["questions"] == 50
    assert ran.out.count("\n") == 1
    events = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    names = [event["event"] for event in events]
    assert names[0] == "step-started"
    assert {"progress", "shard-finished", "step-finished"} <= set(names)
    assert events[0] == {"event": "step-started", "step": "audit", "detector": "question-only", "questions": 50}
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["detector"], last["done"], last["total"]) == ("question-only", 50, 50)
    quiet = vg("audit", "planted:test", "--detector", "question-only", "--limit", "50", "--json", "--quiet")
    assert quiet.err == ""
