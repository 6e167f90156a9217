from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from vidground_core import Ask, BatchEngine, EngineConfig, EngineError, Reply


class Echo(BatchEngine[EngineConfig]):
    """Answers an ask with its text; notes the windows it was given."""

    name, version, window = "echo", "1", 4

    def __init__(self) -> None:
        super().__init__(EngineConfig())
        self.windows: list[list[str]] = []

    @property
    def identity(self) -> str:
        return "echo"

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        assert threading.current_thread() is not threading.main_thread()
        texts = [str(ask.messages[0][1][0]) for ask in asks]
        self.windows.append(texts)
        return [Reply("answered", text=text) for text in texts]


def ask(text: str) -> Ask:
    return Ask((("user", (text,)),))


async def ready(texts: Sequence[str]) -> AsyncIterator[tuple[str, Ask]]:
    for text in texts:
        yield f"token {text}", ask(text)


def answers(engine: Echo, feed: AsyncIterator[tuple[str, Ask]]) -> dict[str, str]:
    async def run() -> dict[str, str]:
        return {token: reply.text async for token, reply in engine.answer(feed)}

    return asyncio.run(asyncio.wait_for(run(), timeout=20))


def test_ready_asks_fill_windows() -> None:
    engine = Echo()
    texts = [str(number) for number in range(10)]
    assert answers(engine, ready(texts)) == {f"token {text}": text for text in texts}
    assert [len(window) for window in engine.windows] == [4, 4, 2]


def test_no_asks() -> None:
    engine = Echo()
    assert answers(engine, ready([])) == {}
    assert engine.windows == []


def test_a_feed_that_waits_for_replies_is_not_waited_for() -> None:
    engine = Echo()
    replied = {"0"}

    async def run() -> list[str]:
        news = asyncio.Event()
        seen: list[str] = []

        async def feed() -> AsyncIterator[tuple[str, Ask]]:
            for number in range(6):
                while str(number) not in replied:
                    news.clear()
                    await news.wait()
                yield str(number), ask(str(number))

        async for token, _ in engine.answer(feed()):
            seen.append(token)
            replied.add(str(int(token) + 1))
            news.set()
        return seen

    assert asyncio.run(asyncio.wait_for(run(), timeout=20)) == list("012345")


def test_asks_gather_while_a_window_is_answered() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Echo):
        def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
            if not self.windows:
                entered.set()
                assert go_on.wait(10)
            return super().answer_batch(asks)

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        yield "token 0", ask("0")
        while not entered.is_set():
            await asyncio.sleep(0.001)
        for number in range(1, 5):
            await asyncio.sleep(0)
            yield f"token {number}", ask(str(number))
        go_on.set()

    engine = Slow()
    assert len(answers(engine, feed())) == 5
    assert [len(window) for window in engine.windows] == [1, 4]


def test_the_feed_is_read_no_further_than_two_windows_ahead() -> None:
    given: list[int] = []

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for number in range(1000):
            given.append(number)
            yield str(number), ask(str(number))

    async def run() -> None:
        replies = 0
        async for _ in Echo().answer(feed()):
            replies += 1
            assert len(given) - replies <= 3 * Echo.window
            if replies == 100:
                break

    asyncio.run(asyncio.wait_for(run(), timeout=20))


def test_a_dead_engine_ends_the_stream_and_lets_go_of_the_feed() -> None:
    closed = threading.Event()

    class Dead(Echo):
        def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
            raise EngineError("out of order")

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        try:
            yield "0", ask("0")
            await asyncio.sleep(60)
        finally:
            closed.set()

    with pytest.raises(EngineError, match="out of order"):
        answers(Dead(), feed())
    assert closed.is_set()


def test_what_the_feed_raises_comes_after_the_replies_so_far() -> None:
    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        yield "0", ask("0")
        yield "1", ask("1")
        raise ValueError("no more rows")

    seen: list[str] = []

    async def run() -> None:
        async for token, _ in Echo().answer(feed()):
            seen.append(token)

    with pytest.raises(ValueError, match="no more rows"):
        asyncio.run(asyncio.wait_for(run(), timeout=20))
    assert seen == ["0", "1"]


def test_leaving_early_lets_go_of_the_feed() -> None:
    closed = threading.Event()

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        try:
            for number in range(1000):
                yield str(number), ask(str(number))
        finally:
            closed.set()

    async def run() -> None:
        stream = Echo().answer(feed())
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(run(), timeout=20))
    assert closed.is_set()


def test_a_reply_too_few_is_an_error_that_names_the_engine() -> None:
    class Forgetful(Echo):
        def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
            return super().answer_batch(asks)[1:]

    with pytest.raises(EngineError) as error:
        answers(Forgetful(), ready(["a", "b", "c"]))
    assert str(error.value) == "the engine 'echo' gave 2 replies to 3 asks"
