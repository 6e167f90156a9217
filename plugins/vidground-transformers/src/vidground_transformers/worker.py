"""One device's process: `python -m vidground_transformers.worker SOCKET`, started by `fleet`. Answers what comes in until told to end.

It ends with whoever started it, however that ended: the socket's other side closes, and the thread that reads it ends the process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from typing import Any

from vidground_core import Ask, EngineError
from vidground_transformers.engine import TransformersConfig, TransformersEngine


async def serve(link: Connection, settings: dict[str, Any]) -> None:
    """Loads the model, says so, and answers (token, ask) by (token, reply); a model that fails says what failed it."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[Any, Ask] | None]()
    threading.Thread(target=_read, args=(link, loop, waiting), daemon=True).start()
    engine = TransformersEngine(TransformersConfig(**settings))
    try:
        await asyncio.to_thread(engine.start)
        link.send(("ready", (engine.window, engine.can)))
        async for token, reply in engine.answer(_feed(waiting)):
            link.send(("reply", (token, reply)))
    except EngineError as error:
        link.send(("trouble", str(error)))


def _read(link: Connection, loop: asyncio.AbstractEventLoop, waiting: asyncio.Queue[tuple[Any, Ask] | None]) -> None:
    while True:
        try:
            item = link.recv()
        except (EOFError, OSError):
            os._exit(1)
        loop.call_soon_threadsafe(waiting.put_nowait, item)
        if item is None:
            return


async def _feed(waiting: asyncio.Queue[tuple[Any, Ask] | None]) -> AsyncIterator[tuple[Any, Ask]]:
    while (item := await waiting.get()) is not None:
        yield item


def main() -> None:
    """Ctrl-C is the starter's to handle: it lets what is under way finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Connection(int(sys.argv[1]))
    asyncio.run(serve(link, link.recv()))


if __name__ == "__main__":
    main()
