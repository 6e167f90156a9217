"""The worker by itself, without Ray around it."""

from __future__ import annotations

import asyncio
import pickle
import socket
import sys
from typing import Any

import pytest
from vidground_ray.worker import Worker

from vidground_core import Ask

NODE = socket.gethostname()


def recipe(engines: Any, **changes: Any) -> dict[str, Any]:
    config = engines.ScriptedConfig()
    named = {"engine": "scripted", "identity": "scripted 1", "config": pickle.dumps(config.model_dump()), "environment": {}}
    return named | {"distribution": "vidground-ray-engines", "version": "1.0", "core": "0.1.0"} | changes


def asks(*texts: str) -> list[tuple[int, Ask]]:
    return [(number, Ask((("user", (text,)),))) for number, text in enumerate(texts)]


def test_a_node_without_the_core_is_named_with_what_to_install(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vidground_core", None)
    problem = asyncio.run(Worker().start(recipe(engines)))
    assert problem.startswith(f"the node {NODE} has no usable vidground-core (")
    assert problem.endswith("pip install vidground-core==0.1.0 there, or name it in the option runtime_env")


def test_an_engine_whose_start_breaks_is_named(engines: Any) -> None:
    problem = asyncio.run(Worker().start(recipe(engines, config=b"no pickle")))
    assert problem.startswith(f"the engine 'scripted' cannot start on the node {NODE}: UnpicklingError: ")


def test_it_starts_once_and_answers(engines: Any) -> None:
    async def go() -> Any:
        worker = Worker()
        assert await asyncio.gather(worker.start(recipe(engines)), worker.start(recipe(engines))) == ["", ""]
        await worker.give(asks("a", "b"))
        taken = await worker.take()
        await worker.close()
        return taken

    replies, trouble = asyncio.run(go())
    assert [(number, reply.text) for number, reply in replies] == [(0, "reply to a"), (1, "reply to b")]
    assert trouble is None


def test_a_later_listener_takes_the_place_of_the_one_before(engines: Any) -> None:
    async def go() -> Any:
        worker = Worker()
        await worker.start(recipe(engines))
        first = asyncio.ensure_future(worker.take())
        await asyncio.sleep(0)
        second = asyncio.ensure_future(worker.take())
        before = await first
        await worker.give(asks("a"))
        after = await second
        await worker.close()
        return before, after

    before, (replies, trouble) = asyncio.run(go())
    assert before == ([], None)
    assert len(replies) == 1
    assert trouble is None


def test_an_engine_that_ends_before_its_asks_is_of_no_use(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_self: Any, _asks: Any) -> Any:
        return
        yield

    monkeypatch.setattr(engines.ScriptedEngine, "answer", nothing)

    async def go() -> Any:
        worker = Worker()
        await worker.start(recipe(engines))
        return await worker.take()

    replies, trouble = asyncio.run(go())
    assert replies == []
    assert trouble == (True, f"the engine 'scripted' ended on the node {NODE} before its asks did")
