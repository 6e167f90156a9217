"""Ties a worker to the process that started it."""

from __future__ import annotations

import os
import threading

from vidground_trl.job import PARENT_PIPE
from vidground_trl.process import INTERRUPTED


def end_with_parent() -> None:
    """The parent holds the other end of our standard input: where it dies, even by SIGKILL, nobody is left training behind it."""
    if os.environ.get(PARENT_PIPE) != "1":
        return

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, daemon=True).start()
