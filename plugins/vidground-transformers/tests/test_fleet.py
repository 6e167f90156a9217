"""Several processes on one CPU: what one answers they all answer, and nothing is lost or left over when they die."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from vidground_transformers.engine import TransformersConfig, TransformersEngine

from vidground_core import Ask, Clip, EngineError, Reply

# One fleet for the module: all its tests in one process.
pytestmark = pytest.mark.xdist_group("fleet")

COUNT = 40


def asks(count: int = COUNT) -> list[Ask]:
    return [Ask((("user", (f"what is number {number} ?",)),), ("red", "yellow square", "b")) for number in range(count)]


@pytest.fixture(scope="module")
def fleet(nano: str) -> Iterator[TransformersEngine]:
    """One for all tests: it mends itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        engine = TransformersEngine(TransformersConfig(model=nano, devices=("cpu", "cpu")))
        engine.start()
        yield engine
        pids = [worker.process.pid for worker in workers(engine)]
        engine.close()
        assert all(dead(pid) for pid in pids)


def workers(engine: TransformersEngine) -> list[Any]:
    assert engine._fleet is not None
    return engine._fleet._workers


def stream(engine: TransformersEngine, given: Sequence[Ask], between: Callable[[int], None] = lambda count: None) -> dict[str, Reply]:
    """All replies by token; `between` is called with the number of replies after each, and may wait for more asks to be handed out."""

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for place, ask in enumerate(given):
            yield str(place), ask

    async def collect() -> dict[str, Reply]:
        found: dict[str, Reply] = {}
        async for token, reply in engine.answer(feed()):
            assert token not in found
            found[token] = reply
            between(len(found))
        return found

    return asyncio.run(collect())


def dead(pid: int) -> bool:
    """Whether the process is gone, or a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not come true within a minute"
        time.sleep(0.05)


def test_two_processes_answer_what_one_does(
    fleet: TransformersEngine, nano: str, video: Path, started: Callable[..., TransformersEngine], caplog: pytest.LogCaptureFixture
) -> None:
    clips = (Clip(str(video), frames=2), Clip(str(video), frames=4), Clip("missing.mp4"))
    given = [*asks(), *(Ask((("user", (clip, "red ?")),), ("red", "blue")) for clip in clips)]
    expected = started(nano).answer_batch(given)
    assert {reply.status for reply in expected} == {"answered", "failed"}
    streamed = stream(fleet, given)
    for found in (list(fleet.answer_batch(given)), [streamed[str(place)] for place in range(len(given))]):
        for one, other in zip(found, expected, strict=True):
            assert (one.status, one.error) == (other.status, other.error)
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert fleet.can == started(nano).can
    assert fleet.identity == started(nano).identity
    assert not caplog.records


def test_a_process_that_is_killed_loses_nothing(fleet: TransformersEngine, caplog: pytest.LogCaptureFixture) -> None:
    first = workers(fleet)[0]

    def between(count: int) -> None:
        if count == 1:
            # Stopped first, so that it surely still holds asks when it dies.
            first.process.send_signal(signal.SIGSTOP)
        if count == 5:
            first.process.kill()

    caplog.set_level(logging.WARNING)
    found = stream(fleet, asks(1500), between)
    assert len(found) == 1500
    assert {reply.status for reply in found.values()} == {"answered"}
    (record,) = caplog.records
    assert record.getMessage().startswith("the process on 'cpu' is gone: it ended with signal 9; ")
    assert first not in workers(fleet)


def test_an_ask_that_two_processes_die_with_fails_and_may_be_asked_again(fleet: TransformersEngine) -> None:
    fleet.answer_batch(asks())
    kind, killed = type(workers(fleet)[0]), []
    give = kind.give

    def giving(self: Any, key: tuple[int, str], ask: Ask) -> None:
        self.process.kill()
        killed.append(self)
        give(self, key, ask)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "give", giving)
        (poisonous,) = stream(fleet, asks(1)).values()
    assert (poisonous.status, poisonous.error) == ("failed", "2 processes that held this ask died, the last on 'cpu'")
    # One that had answered is started anew.
    assert len(set(killed)) == 2
    assert workers(fleet)
    assert not set(killed) & set(workers(fleet))
    assert {reply.status for reply in fleet.answer_batch(asks())} == {"answered"}


def test_no_process_left_is_an_engine_error(llama: str) -> None:
    engine = TransformersEngine(TransformersConfig(model=llama, devices=("cpu",)))
    engine.start()
    (worker,) = workers(engine)
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(EngineError) as error:
        engine.answer_batch(asks())
    assert str(error.value) == "no process of the engine 'transformers' is left; the last was on 'cpu': it ended with signal 9"
    engine.close()


def test_what_does_not_load_is_said_once(llama: str) -> None:
    engine = TransformersEngine(TransformersConfig(model=llama, devices=("cpu", "nowhere:7")))
    with pytest.raises(EngineError, match="the engine 'transformers' cannot load the model"):
        engine.start()


def test_all_means_every_gpu(llama: str) -> None:
    engine = TransformersEngine(TransformersConfig(model=llama, devices="all"))  # type: ignore[arg-type]
    assert engine.config.devices == ("all",)
    if not torch.cuda.is_available():
        with pytest.raises(EngineError) as error:
            engine.start()
        assert str(error.value) == (
            "devices 'all' of the engine 'transformers' means every GPU, and torch sees none here; name devices, such as cpu,cpu"
        )


def test_devices_as_text() -> None:
    assert TransformersConfig(devices="cuda:0, cuda:1").devices == ("cuda:0", "cuda:1")  # type: ignore[arg-type]


_PARENT = """
import sys, time
from vidground_transformers.engine import TransformersConfig, TransformersEngine
if __name__ == "__main__":
    engine = TransformersEngine(TransformersConfig(model=sys.argv[1], devices=("cpu", "cpu")))
    engine.start()
    print(*(worker.process.pid for worker in engine._fleet._workers), flush=True)
    time.sleep(600)
"""


def test_a_parent_that_is_killed_leaves_no_process(llama: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, llama], stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    os.kill(pids[0], signal.SIGINT)  # Ctrl-C reaches all; the parent decides what it means
    parent.kill()
    parent.communicate()
    wait_until(lambda: all(dead(pid) for pid in pids))
