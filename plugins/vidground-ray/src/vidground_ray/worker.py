"""What runs on a worker: an engine, asks in, replies out.

Shipped to the nodes by value, so a node needs the core and the engine's plugin but not this package. Therefore nothing but the standard
library is imported here at the top, and nothing but plain data and the core's records goes in and out.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import platform
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any


class Worker:
    """A Ray actor around one engine."""

    def __init__(self) -> None:
        self._node = socket.gethostname()
        self._engine: Any = None
        self._starting: asyncio.Task[str] | None = None
        self._stream: asyncio.Task[None] | None = None
        self._asks: deque[tuple[str, Any]] = deque()
        self._fed, self._changed = asyncio.Event(), asyncio.Event()
        self._replies: list[tuple[int, Any]] = []
        self._trouble: tuple[bool, str] | None = None
        self._turn = 0

    async def hello(self) -> dict[str, Any]:
        """Where this worker is: {"node", "pid"}."""
        return {"node": self._node, "pid": os.getpid()}

    async def start(self, recipe: dict[str, Any]) -> str:
        """Builds the engine and starts it, once, however often it is called; what is wrong, or nothing."""
        if self._starting is None:
            os.environ.update(recipe["environment"])
            self._starting = asyncio.ensure_future(asyncio.to_thread(self._build, recipe))
        problem = await asyncio.shield(self._starting)
        if not problem and self._stream is None:
            self._stream = asyncio.ensure_future(self._answer())
        return problem

    async def give(self, asks: list[tuple[int, Any]]) -> None:
        """Takes (number, ask) pairs."""
        self._asks.extend((str(number), ask) for number, ask in asks)
        self._fed.set()

    async def take(self) -> tuple[list[tuple[int, Any]], tuple[bool, str] | None]:
        """Waits until there is something: (number, reply) pairs, and what the engine died of: (whether for good, text).

        An earlier call that still waits returns nothing: whoever made it is not there any more.
        """
        self._turn += 1
        turn = self._turn
        self._changed.set()
        while turn == self._turn and not self._replies and self._trouble is None:
            self._changed.clear()
            await self._changed.wait()
        if turn != self._turn:
            self._changed.set()
            return [], None
        replies, self._replies = self._replies, []
        return replies, self._trouble

    async def close(self) -> None:
        """Closes the engine."""
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.gather(self._stream, return_exceptions=True)
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)

    def _build(self, recipe: dict[str, Any]) -> str:
        try:
            from vidground_core import VidGroundError, load_registry
        except ImportError as error:
            return (
                f"the node {self._node} has no usable vidground-core ({error}): pip install vidground-core=={recipe['core']} there, "
                "or name it in the option runtime_env"
            )
        try:
            return self._load(recipe, load_registry())
        except VidGroundError as error:
            return f"the engine {recipe['engine']!r} cannot start on the node {self._node}: {error}"
        except Exception as error:
            return f"the engine {recipe['engine']!r} cannot start on the node {self._node}: {type(error).__name__}: {error}"

    def _load(self, recipe: dict[str, Any], registry: Any) -> str:
        name = recipe["engine"]
        if name not in registry.names("engine"):
            return (
                f"the node {self._node} has no engine {name!r}: pip install {recipe['distribution']}=={recipe['version']} there "
                f"(Python {platform.python_version()}), or name it in the option runtime_env; "
                f"engines there: {', '.join(registry.names('engine')) or 'none'}"
            )
        cls = registry.get("engine", name)
        # Bytes until here: what the config holds may need the engine's plugin to be read.
        engine = cls(cls.Config.model_validate(pickle.loads(recipe["config"])))  # noqa: S301
        if engine.identity != recipe["identity"]:
            return (
                f"the engine {name!r} is another one on the node {self._node}, and its replies would not be those asked for: "
                f"{engine.identity!r} there, {recipe['identity']!r} here; use the same packages and the same model on both"
            )
        engine.start()
        self._engine = engine
        return ""

    async def _answer(self) -> None:
        try:
            async for token, reply in self._engine.answer(self._feed()):
                if reply.status == "failed":
                    reply = replace(reply, error=f"{reply.error} (on the node {self._node})")
                self._replies.append((int(token), reply))
                self._changed.set()
            self._trouble = (True, f"the engine {self._engine.name!r} ended on the node {self._node} before its asks did")
        except Exception as error:
            self._trouble = self._blamed(error)
        self._changed.set()

    def _blamed(self, error: Exception) -> tuple[bool, str]:
        from vidground_core import MediaError, VidGroundError

        known = isinstance(error, VidGroundError)
        text = f"{error}" if known else f"{type(error).__name__}: {error}"
        # The core's own errors say that the engine as a whole is of no use; anything else may be the doing of one ask.
        return known and not isinstance(error, MediaError), f"{text} (on the node {self._node})"

    async def _feed(self) -> AsyncIterator[tuple[str, Any]]:
        while True:
            while self._asks:
                yield self._asks.popleft()
            self._fed.clear()
            await self._fed.wait()
