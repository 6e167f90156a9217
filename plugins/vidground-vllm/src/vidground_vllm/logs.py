"""What vLLM's processes print goes to a file: it is no part of `vg`'s output, and says why they failed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp

# "(EngineCore pid=12) ERROR 11-24 00:20:28 [core.py:1234] " before a line.
_PREFIX = re.compile(r"^(?:\(\S+(?: pid=\d+)?\)\s+)*(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]+\]\s?)?")
_EXCEPTION = re.compile(r"^(?:[\w.]*\.)?\w*(?:Error|Exception|Exit|Interrupt)\b:? ?.*|^\s*[\w.-]+: error: .*")
# They only point to another one.
_POINTERS = ("See root cause above", "See stack trace", "Worker failed with error", "Failed core proc", "initialization failed", "leaked")
_READ_BYTES = 256 * 1024


class Log:
    """A file that processes append to: the one named, else a temporary one that `discard` removes."""

    def __init__(self, path: str = "") -> None:
        self._temporary = not path
        if path:
            self.path = Path(path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
        else:
            handle, name = mkstemp(prefix="vllm-", suffix=".log")
            os.close(handle)
            self.path = Path(name)
        self._begin = self.path.stat().st_size if self.path.exists() else 0

    def lines(self) -> list[str]:
        """What was appended since this object was made, at most the last 256 KiB of it, without vLLM's prefixes and empty lines."""
        with suppress(OSError), self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._begin, size - _READ_BYTES))
            stripped = (_PREFIX.sub("", line) for line in file.read().decode(errors="replace").splitlines())
            return [line.rstrip() for line in stripped if line.strip()]
        return []

    def cause(self) -> str:
        """The first exception in it that says something, on one line; empty where there is none."""
        lines = self.lines()
        for number, line in enumerate(lines):
            if _EXCEPTION.match(line) and not any(pointer in line for pointer in _POINTERS):
                told = " ".join(lines[number : number + 3]) if "validation error" in line else line
                return " ".join(told.split())[:300].rstrip(".")
        return ""

    def tail(self, count: int = 8) -> str:
        """Its last lines, indented."""
        return "\n".join(f"  {line[:200]}" for line in self.lines()[-count:])

    def discard(self) -> None:
        """Removes a temporary file."""
        if self._temporary:
            self.path.unlink(missing_ok=True)


@contextmanager
def children_write_to(log: Log) -> Iterator[None]:
    """Processes started meanwhile have the log as standard output and error, for good; this one's Python code prints as before."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {1: os.dup(1), 2: os.dup(2)}
    before = sys.stdout, sys.stderr
    # Streams on these very descriptors are led to the copies; one that a test or notebook put in their place is not on them.
    led = tuple(
        os.fdopen(os.dup(saved[number]), "w", buffering=1) if _on(stream, number) else stream
        for number, stream in zip((1, 2), before, strict=True)
    )
    file = os.open(log.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = led
        yield
    finally:
        for stream, old in zip(led, before, strict=True):
            if stream is not old:
                stream.close()
        sys.stdout, sys.stderr = before
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(file)


def _on(stream: object, number: int) -> bool:
    try:
        return stream.fileno() == number  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, OSError, ValueError):
        return False
