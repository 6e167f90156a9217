"""Ends what vLLM started when the process that started it was killed: vLLM's own processes would stay and keep the memory.

    python -I guard.py MARK

reads standard input, of which `vg` holds the other end. Where it closes without a word, every process with MARK in its environment is
killed. Standard library only, for it is also run as a script.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_VARIABLE = "VIDGROUND_VLLM_MARK"


class Guard:
    """A process that outlives this one for a moment, if need be."""

    def __init__(self) -> None:
        self._mark = f"{_VARIABLE}={secrets.token_hex(16)}"
        self._process = subprocess.Popen([sys.executable, "-I", __file__, self._mark], stdin=subprocess.PIPE, start_new_session=True)

    @contextmanager
    def marking(self) -> Iterator[None]:
        """Processes started meanwhile end with this one."""
        name, _, value = self._mark.partition("=")
        os.environ[name] = value
        try:
            yield
        finally:
            os.environ.pop(name, None)

    def dismiss(self) -> None:
        """All have ended in peace."""
        with suppress(OSError):
            self._process.communicate(b"done", timeout=10)


def main(mark: str) -> None:
    """Waits for the end of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.stdin.buffer.read(1):
        return
    # Twice: one that was just being started has its environment a moment later.
    for _ in range(2):
        for pid in _marked(mark.encode()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(1)


def _marked(mark: bytes) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    main(sys.argv[1])
