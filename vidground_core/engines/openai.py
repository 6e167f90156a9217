"""The engine for any OpenAI-compatible server: OpenAI, vLLM, and most providers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, ClassVar

from vidground_core.engines.base import Engine
from vidground_core.engines.concurrency import ConcurrencyLimit
from vidground_core.engines.openai_config import OpenAIConfig
from vidground_core.engines.openai_frames import EncodedClips
from vidground_core.engines.openai_sending import Sender, StoppedSending
from vidground_core.engines.openai_transport import connect, find_key
from vidground_core.engines.openai_wire import endpoint, reply_of, request_body
from vidground_core.engines.prices import Price, find_price
from vidground_core.errors import EngineError
from vidground_core.records import Ask, Reply

logger = logging.getLogger(__name__)

# What is under way when a server is given up may still come back.
_DRAIN_SECONDS = 5.0
_DECODERS = min(4, os.cpu_count() or 1)


class OpenAIEngine(Engine[OpenAIConfig]):
    """Models behind an OpenAI-compatible address (OpenAI, vLLM, providers): letters by log-probabilities, generation, video as frames."""

    name: ClassVar[str] = "openai"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Any]] = OpenAIConfig
    can = frozenset({"text", "letters", "logprobs", "images", "video", "sampling"})

    def __init__(self, config: OpenAIConfig) -> None:
        super().__init__(config)
        completions = config.api == "completions"
        able = {"text", "sampling"} if completions else {"text", "sampling", "images", "video"}
        scores = ({"letters", "logprobs"} if completions else {"letters"}) if config.scores else set()
        self.can = frozenset(able | scores)
        self._clips = EncodedClips(config)
        self._key = ""

    @property
    def identity(self) -> str:
        """The model's name as served and what changes its replies; not the address, so that a server may move.

        Two servers that serve different weights under one name are told apart by the option `revision`.
        """
        return self._identity

    @cached_property
    def _identity(self) -> str:
        if not self.config.model:
            raise EngineError("the engine 'openai' needs the name that the server knows the model by: give it with --model")
        changing = ("api", "model", "revision", "max_new_tokens", "top_logprobs", "image_format", "image_quality", "image_detail", "seeded")
        chosen = {name: getattr(self.config, name) for name in (*changing, "extra_body")}
        return f"openai {self.version} {json.dumps(chosen, sort_keys=True)}"

    def start(self) -> None:
        """Finds the key. Raises EngineError where there is none and OpenAI itself is asked; the server is first heard by the first ask."""
        self._identity  # noqa: B018 - raises where no model is named
        self._key = find_key(self.config)
        # A second of imports; here they hold up no event loop.
        import aiohttp  # noqa: F401
        import openai  # noqa: F401

        if not self.priced:
            logger.info("no price is known for the model %r: tokens are counted, cost is not; engine.prices names one", self.config.model)

    def request_body(self, ask: Ask) -> dict[str, Any]:
        """The JSON body that asks this, as for a batch file. Raises ValueError or MediaError where it cannot be asked."""
        return request_body(ask, self.config, self._clips.get)

    def reply_of(self, body: Any, ask: Ask) -> Reply:
        """The reply in a response's decoded JSON body."""
        return reply_of(body, ask, self.config)

    @property
    def endpoint(self) -> str:
        """The path of the requests below the server's address, with /v1, as in a batch file."""
        return f"/v1{endpoint(self.config)}"

    @cached_property
    def _price(self) -> Price | None:
        return find_price(self.config.model, self.config.prices)

    @property
    def priced(self) -> bool:
        """Whether the model stands in the price table."""
        return self._price is not None

    def cost(self, reply: Reply) -> float:
        """US dollars by the price table; 0 for a model that is not `priced`."""
        return self._price.of(reply.usage) if self._price is not None else 0.0

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """Replies as they come; at most `concurrency` asks are taken ahead. Raises EngineError where the server is given up."""
        if not self._key:
            raise EngineError("the engine 'openai' has not been started")
        transport = connect(self.config, self._key)
        decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="frames")
        sender = Sender(self.config, transport, ConcurrencyLimit(self.config.concurrency), self._content(decoders), key=self._key)
        stream = _Stream(asks, sender, self.config.concurrency)
        try:
            async for answered in stream.replies():
                yield answered
        finally:
            await stream.close()
            await transport.close()
            decoders.shutdown(wait=False, cancel_futures=True)

    def _content(self, decoders: ThreadPoolExecutor) -> Any:
        async def content(ask: Ask) -> bytes:
            if ask.clips:
                return await asyncio.get_running_loop().run_in_executor(decoders, self._encoded, ask)
            return self._encoded(ask)

        return content

    def _encoded(self, ask: Ask) -> bytes:
        return json.dumps(self.request_body(ask), ensure_ascii=False, separators=(",", ":")).encode()


class _Stream:
    """A fixed number of workers between a stream of asks and a bounded queue of replies."""

    def __init__(self, asks: AsyncIterator[tuple[str, Ask]], sender: Sender, workers: int) -> None:
        self._asks, self._sender = asks, sender
        self._pull = asyncio.Lock()
        self._puller: asyncio.Task[None] | None = None
        self._ended = False
        self._trouble: Exception | None = None
        self._out: asyncio.Queue[tuple[str, Reply] | None] = asyncio.Queue(workers)
        self._workers = [asyncio.create_task(self._work()) for _ in range(workers)]
        self._supervisor = asyncio.create_task(self._supervise())

    async def replies(self) -> AsyncIterator[tuple[str, Reply]]:
        """Replies until the asks end; then the trouble, if there was any."""
        while (answered := await self._out.get()) is not None:
            yield answered
        if self._trouble is not None:
            raise self._trouble

    async def close(self) -> None:
        """Cancels what still works."""
        tasks = [*self._workers, self._supervisor]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while (item := await self._next()) is not None:
                token, ask = item
                await self._out.put((token, await self._sender.reply(ask)))
        except StoppedSending:
            pass
        except Exception as error:
            self._give_up(error)

    async def _next(self) -> tuple[str, Ask] | None:
        async with self._pull:
            if self._ended:
                return None
            self._puller = asyncio.current_task()
            try:
                item = await anext(self._asks, None)
            finally:
                self._puller = None
            self._ended = item is None
            return item

    def _give_up(self, error: Exception) -> None:
        self._trouble = self._trouble or error
        self._ended = True
        self._sender.stop()
        if self._puller is not None:
            self._puller.cancel()

    async def _supervise(self) -> None:
        pending = set(self._workers)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=_DRAIN_SECONDS if self._trouble else None, return_when=asyncio.FIRST_COMPLETED)
            if self._trouble and pending:
                _, pending = await asyncio.wait(pending, timeout=_DRAIN_SECONDS)
                for task in pending:
                    task.cancel()
        await self._out.put(None)
