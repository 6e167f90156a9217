"""An event loop that ends well on Ctrl-C, and on the signal by which a cluster takes a machine back."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_until_done(work: Coroutine[Any, Any, None], *, stop: Callable[[], None], grace: float) -> None:
    """Runs `work` in a loop of its own.

    The first Ctrl-C or SIGTERM calls `stop` and leaves the work `grace` seconds to come to rest; after that, or at a second one, it is
    cancelled. Raises KeyboardInterrupt in either case. Threads that still compute are not waited for.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if interrupted:
            task.cancel()
            return
        interrupted = True
        stop()
        loop.call_later(grace, task.cancel)

    heard = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS if heard else ():
        loop.add_signal_handler(number, interrupt)
    try:
        loop.run_until_complete(task)
    except (asyncio.CancelledError, Exception):
        if not interrupted:
            raise
    finally:
        for number, handler in before.items() if heard else ():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        _close(loop)
    if interrupted:
        raise KeyboardInterrupt


def _close(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
