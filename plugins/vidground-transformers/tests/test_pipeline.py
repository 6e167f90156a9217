"""The two threads between asks and replies; `prepare` and `run` stand for encoder and model."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import pytest
from vidground_transformers.pipeline import pipeline
from vidground_transformers.running import Work

from vidground_core import Ask, EngineError, Reply


def ask(number: int) -> Ask:
    return Ask((("user", (str(number),)),))


def prepare(asks: Sequence[Ask]) -> Iterable[Work]:
    """A batch an ask, with its text as the reply."""
    for index, one in enumerate(asks):
        yield Work(done=((index, Reply("answered", text=str(one.messages[0][1][0]))),))


def run(work: Work) -> Mapping[int, Reply]:
    return dict(work.done)


async def feed(count: int) -> AsyncIterator[tuple[str, Ask]]:
    for number in range(count):
        yield str(number), ask(number)


def threads() -> set[threading.Thread]:
    """Those of a pipeline; the loop's own stay."""
    return {thread for thread in threading.enumerate() if "_guarded" in thread.name}


@pytest.mark.parametrize("window", [1, 7, 256])
def test_every_ask_gets_its_reply(window: int) -> None:
    async def collect() -> dict[str, str]:
        return {token: reply.text async for token, reply in pipeline(prepare, run, feed(50), window=window)}

    assert asyncio.run(collect()) == {str(number): str(number) for number in range(50)}
    assert not threads()


def test_no_asks_no_replies() -> None:
    async def collect() -> list[tuple[str, Reply]]:
        return [answered async for answered in pipeline(prepare, run, feed(0), window=4)]

    assert asyncio.run(collect()) == []


def test_a_feed_that_waits_for_replies_is_not_waited_for() -> None:
    async def collect() -> list[str]:
        replied = asyncio.Event()

        async def one_by_one() -> AsyncIterator[tuple[str, Ask]]:
            for number in range(5):
                yield str(number), ask(number)
                await replied.wait()
                replied.clear()

        found = []
        async for token, _ in pipeline(prepare, run, one_by_one(), window=256):
            found.append(token)
            replied.set()
        return found

    assert asyncio.run(collect()) == ["0", "1", "2", "3", "4"]


def test_replies_leave_batch_by_batch_and_the_next_batch_is_made_ready_meanwhile() -> None:
    prepared: list[int] = []
    second_may_run = threading.Event()
    third_is_ready = threading.Event()

    def preparing(asks: Sequence[Ask]) -> Iterable[Work]:
        for work in prepare(asks):
            prepared.append(work.done[0][0])
            if len(prepared) == 3:
                third_is_ready.set()
            yield work

    def running(work: Work) -> Mapping[int, Reply]:
        if work.done[0][0] == 1:
            # The model is busy with the second batch: the third is made ready, the first one's reply is out.
            assert third_is_ready.wait(60)
            assert second_may_run.wait(60)
        return run(work)

    async def collect() -> list[str]:
        found = []
        async for token, _ in pipeline(preparing, running, feed(4), window=4):
            found.append(token)
            if token == "0":
                second_may_run.set()
        return found

    assert asyncio.run(collect()) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("where", ["prepare", "run", "feed"])
def test_an_exception_ends_the_stream_and_both_threads(where: str) -> None:
    def broken_prepare(asks: Sequence[Ask]) -> Iterable[Work]:
        yield from prepare(asks[:1])
        raise EngineError("broken prepare")

    def broken_run(work: Work) -> Mapping[int, Reply]:
        raise EngineError("broken run")

    async def broken_feed() -> AsyncIterator[tuple[str, Ask]]:
        async for item in feed(3):
            yield item
        raise EngineError("broken feed")

    async def endless() -> AsyncIterator[tuple[str, Ask]]:
        async for item in feed(300):
            yield item
        await asyncio.Event().wait()

    async def collect() -> None:
        given = broken_feed() if where == "feed" else endless()
        parts = (broken_prepare if where == "prepare" else prepare, broken_run if where == "run" else run)
        async for _ in pipeline(*parts, given, window=16):
            pass

    with pytest.raises(EngineError, match=f"broken {where}"):
        asyncio.run(collect())
    assert not threads()


def test_a_stream_that_is_closed_early_ends_after_the_batch_that_runs() -> None:
    ran: list[int] = []

    def running(work: Work) -> Mapping[int, Reply]:
        ran.append(work.done[0][0])
        return run(work)

    async def some() -> None:
        stream = pipeline(prepare, running, feed(1000), window=1000)
        async for token, _ in stream:
            if token == "3":
                break
        await stream.aclose()

    asyncio.run(some())
    assert not threads()
    assert len(ran) < 1000


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.01])
def test_a_stream_that_is_closed_while_batches_wait_for_the_model_ends(pause: float) -> None:
    """The thread that makes batches ready stands before a full queue then; nobody takes from it any more."""

    def slow(work: Work) -> Mapping[int, Reply]:
        time.sleep(pause)
        return run(work)

    async def some() -> None:
        for _ in range(20):
            stream = pipeline(prepare, slow, feed(200), window=200)
            async for _ in stream:
                break
            await asyncio.wait_for(stream.aclose(), 60)

    asyncio.run(some())
    assert not threads()
