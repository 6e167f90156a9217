"""Engines without a model for the tests and the benchmark; a plugin of their own, so that workers find them by name.

A word in the prompt says what happens to an ask: "poison" kills the worker, "slow" takes a while, "broken" raises, "failing" fails. Every
ask an engine is given is written to a file of its own process first, so that tests can count.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vidground_core import Ask, BatchEngine, Engine, EngineConfig, EngineError, MediaError, Reply, hookimpl

VIDGROUND_API = ">=1,<2"


class ScriptedConfig(EngineConfig):
    """Options of the scripted engines."""

    log: str = Field("", description="Folder in which each process writes down the asks it is given and its starts; none when empty.")
    seconds: float = Field(0.0, description="Time an ask takes.")
    window: int = Field(8, description="Asks answered together.")
    trouble: str = Field("", description="What happens at the start: refuse, die, or nothing.")
    secret: str = Field("", description="Environment variable that must be set where the engine starts.")


class ScriptedEngine(BatchEngine[ScriptedConfig]):
    """Answers a batch at a time, and does what the prompts say."""

    name: ClassVar[str] = "scripted"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Any]] = ScriptedConfig
    can = frozenset({"text", "logprobs", "images", "video", "sampling"})

    def __init__(self, config: ScriptedConfig) -> None:
        super().__init__(config)
        self.window = config.window

    @property
    def identity(self) -> str:
        """A name, and what the environment adds, for a worker that differs."""
        return f"{self.name} {self.version}{os.environ.get('SCRIPTED_FLAVOUR', '')}"

    def start(self) -> None:
        """Notes the start and does what `trouble` says."""
        _note(self.config.log, "started", [str(os.getpid())])
        if self.config.trouble == "refuse":
            raise EngineError("the checkpoint is not there")
        if self.config.trouble == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.secret and not os.environ.get(self.config.secret):
            raise EngineError(f"{self.config.secret} is not set")

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask, after `seconds` for each."""
        texts = [_text(ask) for ask in asks]
        _note(self.config.log, "asked", texts)
        return [self._answer(ask, text) for ask, text in zip(asks, texts, strict=True)]

    def _answer(self, ask: Ask, text: str) -> Reply:
        time.sleep(self.config.seconds)
        return answer(ask, text)

    def close(self) -> None:
        """Notes the end."""
        _note(self.config.log, "closed", [str(os.getpid())])


class StreamingEngine(Engine[ScriptedConfig]):
    """Answers each ask by itself, many at a time, as an API does."""

    name: ClassVar[str] = "streaming"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Any]] = ScriptedConfig
    can = frozenset({"text", "logprobs"})

    @property
    def identity(self) -> str:
        """A name."""
        return f"{self.name} {self.version}"

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """Replies in the order in which they are done."""
        done: asyncio.Queue[tuple[str, Reply] | None] = asyncio.Queue()
        under_way: set[asyncio.Task[None]] = set()

        async def one(token: str, ask: Ask) -> None:
            text = _text(ask)
            _note(self.config.log, "asked", [text])
            await asyncio.sleep(self.config.seconds * (50 if "slow" in text else 1))
            done.put_nowait((token, answer(ask, text)))

        async def all_of_them() -> None:
            async for token, ask in asks:
                task = asyncio.ensure_future(one(token, ask))
                under_way.add(task)
                task.add_done_callback(under_way.discard)

        reading = asyncio.ensure_future(all_of_them())
        try:
            while (found := await done.get()) is not None:
                yield found
        finally:
            reading.cancel()


def answer(ask: Ask, text: str) -> Reply:
    """What the words of the prompt ask for."""
    if "poison" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if "broken" in text:
        raise ValueError("a broken row")
    if "unseen" in text:
        raise MediaError("clip.mp4: no such file")
    if "hopeless" in text:
        raise EngineError("the key was refused")
    if "failing" in text:
        return Reply("failed", error="told to fail")
    usage = (len(text), 1)
    if ask.continuations:
        sums = tuple(-float(index + len(text) % 3) for index in range(len(ask.continuations)))
        return Reply("answered", logprobs=sums, tokens=(1,) * len(ask.continuations), usage=usage)
    return Reply("answered", text=f"reply to {text}", usage=usage)


def _text(ask: Ask) -> str:
    return " ".join(part for _, parts in ask.messages for part in parts if isinstance(part, str))


def _note(folder: str, what: str, lines: Sequence[str]) -> None:
    if folder:
        with (Path(folder) / f"{what}-{os.getpid()}").open("a") as file:
            file.writelines(line.replace("\n", " ") + "\n" for line in lines)


@hookimpl
def vidground_register_engines() -> list[type[Any]]:
    """Both engines."""
    return [ScriptedEngine, StreamingEngine]
