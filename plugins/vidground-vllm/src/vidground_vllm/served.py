"""Asks to a server that is watched: started again when it dies, with the asks that it left unanswered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from vidground_core import Ask, EngineError, OpenAIConfig, OpenAIEngine, Reply
from vidground_vllm.checkpoint import has_template
from vidground_vllm.server import KEY_VARIABLE, SERVED_NAME, Server

if TYPE_CHECKING:
    from vidground_vllm.config import VLLMConfig

logger = logging.getLogger(__name__)

# How often a server is looked at, and how long one that is not well may take to end.
_LOOK_SECONDS = 0.2
_SHOW_SECONDS = 15.0
_MOST_CONNECTIONS = 4096


def client_config(config: VLLMConfig, *, url: str, template: bool) -> OpenAIConfig:
    """The options of the engine that talks to the server."""
    switches = {} if config.thinking is None else {"chat_template_kwargs": {"enable_thinking": config.thinking}}
    return OpenAIConfig(
        model=SERVED_NAME,
        base_url=url,
        api="chat" if template else "completions",
        api_key_env=KEY_VARIABLE,
        concurrency=min(config.in_flight, _MOST_CONNECTIONS),
        timeout=1800,
        deadline=3600,
        max_new_tokens=config.max_new_tokens,
        image_format="png",
        extra_body=switches,
    )


class Served:
    """The model on a server of ours. At most `restarts` times in its life the server is started again."""

    def __init__(self, checkpoint: str, config: VLLMConfig) -> None:
        self._checkpoint, self._config = checkpoint, config
        self._template = has_template(checkpoint)
        self._left = config.restarts
        self._server = Server(checkpoint, config)

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """A reply for each ask. Raises EngineError where the server dies more often than it may be started again."""
        open_asks: dict[str, Ask] = {}
        feed = _Feed(asks)
        try:
            while not (feed.ended and not open_asks):
                async for token, reply in self._session(feed, open_asks):
                    del open_asks[token]
                    yield token, reply
                if not self._server.alive:
                    await asyncio.to_thread(self._restart, len(open_asks))
                elif open_asks or not feed.ended:
                    raise EngineError(f"the vLLM server left {len(open_asks)} asks unanswered; replies so far are kept")
        finally:
            await feed.close()

    async def _session(self, feed: _Feed, open_asks: dict[str, Ask]) -> AsyncIterator[tuple[str, Reply]]:
        """Replies until the asks end or the server does; a failed reply of a server that has died is none."""
        client = OpenAIEngine(client_config(self._config, url=self._server.url, template=self._template))
        client.start()
        again = list(open_asks.items())
        replies = client.answer(feed.after(again, open_asks))
        try:
            while (answered := await self._next(replies)) is not None:
                if answered[1].status == "failed" and await self._died():
                    return
                yield answered
        finally:
            if isinstance(replies, AsyncGenerator):
                await replies.aclose()

    async def _next(self, replies: AsyncIterator[tuple[str, Reply]]) -> tuple[str, Reply] | None:
        """The next reply; None at the end, or when the server has died."""
        following = asyncio.ensure_future(anext(replies, None))
        try:
            while not following.done():
                await asyncio.wait({following}, timeout=_LOOK_SECONDS)
                if not following.done() and not self._server.alive:
                    return None
            return following.result()
        except EngineError:
            if await self._died():
                return None
            raise
        finally:
            if not following.done():
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _died(self) -> bool:
        """Whether the server has ended or is about to: one that is well says so at once, one that is not is given a moment."""
        for _ in range(int(_SHOW_SECONDS / _LOOK_SECONDS)):
            if not self._server.alive:
                return True
            if await asyncio.to_thread(lambda: self._server.healthy):
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return not self._server.alive

    def _restart(self, unanswered: int) -> None:
        cause = self._server.log.cause() or "it said nothing"
        if not self._left:
            where = self._server.log.path
            self._server.close(keep_log=True)
            raise EngineError(
                f"the engine 'vllm' is dead: its server died, {cause}; it was started again {self._config.restarts} times (restarts); "
                f"replies so far are kept, the same command goes on from there (log: {where})"
            )
        self._left -= 1
        logger.warning("the vLLM server died (%s); it is started again, %d asks are asked again", cause, unanswered)
        self._server.close()
        self._server = Server(self._checkpoint, self._config)

    def close(self) -> None:
        """Ends the server."""
        self._server.close()


class _Feed:
    """The asks, handed on to one client after the other; what a client takes stands in `open_asks` until it is answered."""

    def __init__(self, asks: AsyncIterator[tuple[str, Ask]]) -> None:
        self._asks = asks
        self._pending: asyncio.Future[tuple[str, Ask] | None] | None = None
        self.ended = False

    async def after(self, again: list[tuple[str, Ask]], open_asks: dict[str, Ask]) -> AsyncIterator[tuple[str, Ask]]:
        """First those of a client before, then new ones. A client that goes away while it waits for one loses none."""
        for item in again:
            yield item
        while not self.ended:
            if self._pending is None:
                self._pending = asyncio.ensure_future(_following(self._asks))
            item_or_end = await asyncio.shield(self._pending)
            self._pending = None
            if item_or_end is None:
                self.ended = True
                return
            open_asks[item_or_end[0]] = item_or_end[1]
            yield item_or_end

    async def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            await asyncio.gather(self._pending, return_exceptions=True)


async def _following(asks: AsyncIterator[tuple[str, Any]]) -> tuple[str, Any] | None:
    return await anext(asks, None)
