"""The executor on a real cluster of this machine: what comes back, in what order, and what is said when an engine cannot be had."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from vidground_core import Ask, ConfigError, EngineError, Reply
from vidground_core.testing import FakeEngine, FakeEngineConfig

from .conftest import Log, prompt

Answers = Callable[..., dict[str, Reply]]
NODE = socket.gethostname()


def scripted(engines: Any, log: Log, **options: Any) -> Any:
    return engines.ScriptedEngine(engines.ScriptedConfig(log=str(log.folder), **options))


def test_every_ask_is_answered_once_as_it_would_be_here(answers: Answers, engines: Any, log: Log) -> None:
    texts = [f"question {number}" for number in range(500)]
    found = answers(scripted(engines, log), texts, workers=2)
    assert set(log.asked.values()) == {1}
    here = engines.ScriptedEngine(engines.ScriptedConfig()).answer_batch([prompt(text) for text in texts])
    assert [found[text] for text in texts] == list(here)
    assert [found[text].usage for text in texts] == [reply.usage for reply in here]


def test_the_work_is_shared_between_the_workers(ray: Any, engines: Any, log: Log) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    executor = RayExecutor(RayConfig(workers=2, num_cpus=0.5))
    engine = scripted(engines, log, seconds=0.002)

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        while len(log.pids) < 2:
            yield "waiting", prompt("waiting for both")
            await asyncio.sleep(0.05)
        for number in range(400):
            yield str(number), prompt(f"question {number}")

    async def collect() -> None:
        async for _ in executor.answer(engine, feed()):
            pass

    try:
        asyncio.run(collect())
    finally:
        executor.close()
    shares = [file.read_text().count("question") for file in log.folder.glob("asked-*")]
    assert sum(shares) == 400
    assert len(shares) == 2
    assert min(shares) >= 100


def test_a_failing_ask_is_a_record_that_names_the_node(answers: Answers, engines: Any, log: Log) -> None:
    found = answers(scripted(engines, log), ["a", "failing b", "c"])
    assert found["failing b"] == Reply("failed", error=f"told to fail (on the node {NODE})")
    assert [found[text].status for text in "ac"] == ["answered", "answered"]


def test_an_ask_on_which_the_engine_raises_is_the_only_one_that_fails(answers: Answers, engines: Any, log: Log) -> None:
    texts = [f"{number}{' broken' if number == 5 else ' unseen' if number == 17 else ''}" for number in range(40)]
    found = answers(scripted(engines, log, window=64), texts)
    failed = {text: reply.error for text, reply in found.items() if reply.status == "failed"}
    assert set(failed) == {"5 broken", "17 unseen"}
    assert failed["5 broken"].endswith(f"ValueError: a broken row (on the node {NODE})")
    assert failed["17 unseen"].endswith(f"clip.mp4: no such file (on the node {NODE})")
    assert max(log.asked.values()) <= 3
    assert set(log.asked) == set(texts)


def test_replies_come_as_they_are_done_not_batch_by_batch(ray: Any, engines: Any) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    executor = RayExecutor(RayConfig(num_cpus=0.5))
    engine = engines.StreamingEngine(engines.ScriptedConfig(seconds=0.1))
    order: list[str] = []

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for number in range(10):
            yield f"{number}", prompt("slow" if number == 3 else "quick")
        while len(order) < 9:  # feedback: the stream goes on when the quick ones are back, and the slow one is still under way
            await asyncio.sleep(0.01)
        yield "last", prompt("quick")

    async def collect() -> None:
        async for token, _ in executor.answer(engine, feed()):
            order.append(token)

    try:
        asyncio.run(collect())
    finally:
        executor.close()
    assert order[-2:] == ["last", "3"]


def test_an_engine_is_started_once_for_several_detectors_and_closed_at_the_end(ray: Any, answers: Answers, engines: Any, log: Log) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    executor = RayExecutor(RayConfig(workers=2, num_cpus=0.5))
    engine = scripted(engines, log)
    for round_ in range(3):
        answers(engine, [f"{round_}-{number}" for number in range(50)], executor=executor)
    assert set(log.asked.values()) == {1}
    executor.close()
    assert 1 <= len(log.pids) <= 2  # a short run may end before the second is up
    assert log.closed >= 1


def test_two_streams_on_one_engine_at_a_time(ray: Any, engines: Any, log: Log) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    from .conftest import collect

    executor = RayExecutor(RayConfig(num_cpus=0.5))
    engine = scripted(engines, log, seconds=0.001)

    async def both() -> list[dict[str, Reply]]:
        sides = (collect(executor, engine, [f"{side}{number}" for number in range(100)]) for side in "ab")
        return await asyncio.gather(*sides)

    try:
        left, right = asyncio.run(both())
    finally:
        executor.close()
    assert len(left) == len(right) == 100
    assert len(log.pids) == 1


def test_no_ask_no_cluster(engines: Any) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    from .conftest import collect

    executor = RayExecutor(RayConfig(address="nowhere:1"))
    assert asyncio.run(collect(executor, engines.ScriptedEngine(engines.ScriptedConfig()), [])) == {}
    executor.close()


def test_an_engine_that_cannot_start_is_one_error(answers: Answers, engines: Any, log: Log) -> None:
    with pytest.raises(EngineError) as error:
        answers(scripted(engines, log, trouble="refuse"), ["a", "b"])
    assert str(error.value) == f"the engine 'scripted' cannot start on the node {NODE}: the checkpoint is not there"
    assert len(log.pids) == 1
    assert not log.asked


def test_an_engine_that_kills_its_worker_at_the_start_is_given_up(answers: Answers, engines: Any, log: Log) -> None:
    with pytest.raises(EngineError) as error:
        answers(scripted(engines, log, trouble="die"), ["a", "b"])
    assert str(error.value).startswith("executor 'ray': 3 workers in a row died while the engine started; the last said: worker ")
    assert len(log.pids) == 3
    assert not log.asked


def test_an_engine_that_is_of_no_use_any_more_ends_the_run(answers: Answers, engines: Any, log: Log) -> None:
    with pytest.raises(EngineError) as error:
        answers(scripted(engines, log), ["a", "hopeless", "b"])
    assert str(error.value) == f"the key was refused (on the node {NODE}); replies so far are kept"
    assert len(log.pids) == 1


def test_an_engine_that_no_plugin_registers(answers: Answers) -> None:
    with pytest.raises(EngineError) as error:
        answers(FakeEngine(FakeEngineConfig()), ["a"])
    text = "executor 'ray': workers look the engine 'fake' up by its name, and no installed plugin registers it; there is: "
    assert str(error.value).startswith(text)


def test_a_node_without_the_engines_plugin(answers: Answers, engines: Any, log: Log) -> None:
    with pytest.raises(EngineError) as error:
        answers(scripted(engines, log), ["a"], runtime_env={"env_vars": {"VG_LOAD_PLUGINS": ""}})
    assert str(error.value).startswith(f"the node {NODE} has no engine 'scripted': pip install vidground-ray-engines==1.0 there (Python 3.")
    assert not log.pids


def test_another_engine_of_the_same_name_is_refused(answers: Answers, engines: Any, log: Log) -> None:
    with pytest.raises(EngineError) as error:
        answers(scripted(engines, log), ["a"], runtime_env={"env_vars": {"SCRIPTED_FLAVOUR": " of another checkpoint"}})
    assert str(error.value) == (
        f"the engine 'scripted' is another one on the node {NODE}, and its replies would not be those asked for: "
        "'scripted 1 of another checkpoint' there, 'scripted 1' here; use the same packages and the same model on both"
    )
    assert not log.pids


def test_variables_are_forwarded_by_name(answers: Answers, engines: Any, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VG_TEST_KEY", raising=False)
    engine = scripted(engines, log, secret="VG_TEST_KEY")
    with pytest.raises(ConfigError, match="forward names 'VG_TEST_KEY', which is not set in the environment"):
        answers(engine, ["a"], forward=("VG_TEST_KEY",))
    monkeypatch.setenv("VG_TEST_KEY", "hidden")
    with pytest.raises(EngineError, match="VG_TEST_KEY is not set"):
        answers(engine, ["a"])
    assert answers(engine, ["a"], forward=("VG_TEST_KEY",))["a"].status == "answered"


def test_a_cluster_without_room_is_waited_for_so_long(answers: Answers, engines: Any, log: Log) -> None:
    with pytest.raises(EngineError) as error:
        answers(scripted(engines, log), ["a"], num_cpus=1000, start_timeout=2)
    text = (
        "executor 'ray': after 2 s (option start_timeout) only 0 of 1 workers have found room on the cluster (num_cpus = 1000, num_gpus = 0"
    )
    assert str(error.value).startswith(text)
    assert " of 4 CPUs free, 0 of 0 GPUs free); replies so far are kept; ask for fewer workers" in str(error.value)


def test_a_range_takes_what_there_is(answers: Answers, engines: Any, log: Log) -> None:
    found = answers(scripted(engines, log, seconds=0.01), [str(number) for number in range(100)], workers="1..3", num_cpus=2)
    assert len(found) == 100
    assert len(log.pids) <= 2


def test_at_most_so_many_asks_are_taken_from_the_stream(ray: Any, engines: Any, log: Log) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    executor = RayExecutor(RayConfig(num_cpus=0.5, in_flight=10))
    engine = scripted(engines, log, window=1, seconds=0.01)
    taken = back = most = 0

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        nonlocal taken, most
        for number in range(100):
            taken += 1
            most = max(most, taken - back)
            yield str(number), prompt(str(number))

    async def collect() -> None:
        nonlocal back
        async for _ in executor.answer(engine, feed()):
            back += 1

    try:
        asyncio.run(collect())
    finally:
        executor.close()
    assert back == 100
    assert 10 <= most <= 12  # one more waits for room, and one is on its way out


def test_an_ask_in_error_of_the_stream_itself_is_raised(ray: Any, engines: Any, log: Log) -> None:
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    executor = RayExecutor(RayConfig(num_cpus=0.5))

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        yield "1", prompt("a")
        raise RuntimeError("the store is full")

    async def collect() -> None:
        async for _ in executor.answer(scripted(engines, log), feed()):
            pass

    try:
        with pytest.raises(RuntimeError, match="the store is full"):
            asyncio.run(collect())
    finally:
        executor.close()
