"""Workers that die in the middle, on a real cluster: what is lost, what is asked again and how often, and who is blamed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from vidground_core import EngineError, Reply

from .conftest import Log

Answers = Callable[..., dict[str, Reply]]
_PATIENCE = 60.0


def scripted(engines: Any, log: Log, **options: Any) -> Any:
    return engines.ScriptedEngine(engines.ScriptedConfig(log=str(log.folder), **options))


def kill_workers(log: Log, times: int, *, every: int) -> list[int]:
    """Kills the newest worker `times` times, when `every` asks have reached an engine, twice as many, and so on."""
    killed: list[int] = []
    until = time.monotonic() + _PATIENCE
    while len(killed) < times and time.monotonic() < until:
        alive = [pid for pid in log.pids if pid not in killed]
        if alive and sum(log.asked.values()) >= every * (len(killed) + 1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(alive[-1], signal.SIGKILL)
                killed.append(alive[-1])
        time.sleep(0.02)
    return killed


def test_workers_killed_in_the_middle_lose_nothing(answers: Answers, engines: Any, log: Log) -> None:
    texts = [f"question {number}" for number in range(1000)]
    engine = scripted(engines, log, seconds=0.01, window=4)
    killed: list[int] = []
    # On a busy machine the same ask may meet every kill, so it may meet all five and one more.
    found = answers(engine, texts, workers=2, in_flight=16, attempts=6, during=lambda: killed.extend(kill_workers(log, 5, every=120)))
    assert len(killed) == 5
    assert {reply.status for reply in found.values()} == {"answered"}
    assert [reply.text for reply in found.values()] == [f"reply to {text}" for text in found]
    asked = log.asked
    assert set(asked) == set(texts)
    # Only what the dead held is asked again.
    assert 0 < sum(asked.values()) - len(texts) <= 5 * 16


def test_a_row_that_kills_its_worker_three_times_is_the_only_one_that_fails(answers: Answers, engines: Any, log: Log) -> None:
    texts = [f"question {number}{' poison' if number == 37 else ''}" for number in range(300)]
    found = answers(scripted(engines, log, window=16), texts, workers=2)
    failed = [text for text, reply in found.items() if reply.status == "failed"]
    assert failed == ["question 37 poison"]
    error = found["question 37 poison"].error
    assert error.startswith("its worker died 3 times, the last time with this ask alone; worker ")
    asked = log.asked
    assert asked["question 37 poison"] == 3
    assert max(asked.values()) == 3
    assert set(asked) == set(texts)
    assert 4 <= len(log.pids) <= 5  # two at the start, one in the place of each dead; the last may not be up yet


def test_a_row_that_failed_so_is_not_asked_again_in_this_run(ray: Any, answers: Answers, engines: Any, log: Log) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    executor = RayExecutor(RayConfig(num_cpus=0.5, attempts=2))
    engine = scripted(engines, log)
    first = answers(engine, ["a", "poison", "b"], executor=executor)
    again = answers(engine, ["poison", "c"], executor=executor)
    assert first["poison"].status == "failed"
    assert again["poison"] == first["poison"]
    assert again["c"].status == "answered"
    assert log.asked["poison"] == 2


def test_one_worker_and_two_such_rows(answers: Answers, engines: Any, log: Log) -> None:
    texts = [f"{number}{' poison' if number in (3, 30) else ''}" for number in range(60)]
    found = answers(scripted(engines, log, window=32), texts)
    assert [text for text, reply in found.items() if reply.status == "failed"] == ["3 poison", "30 poison"]
    assert max(log.asked.values()) == 3
    assert set(log.asked) == set(texts)


def test_workers_that_die_one_after_the_other_end_the_run(answers: Answers, engines: Any, log: Log) -> None:
    with pytest.raises(EngineError) as error:
        answers(scripted(engines, log, window=1), [f"poison {number}" for number in range(20)], deaths=3, in_flight=1)
    text = "executor 'ray': 3 workers in a row died without a reply between (option deaths = 3); replies so far are kept; the last said: worker "
    assert str(error.value).startswith(text)
    assert sum(log.asked.values()) == 3
