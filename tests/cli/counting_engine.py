"""An engine that answers some asks at a time and writes each into a log, as a plugin of its own; and a `vg` that is killed and run again.

python counting_engine.py KILLS SEED LOG vg-arguments…     prints one JSON object

One process imports vg and forks: each child is a process that runs the command from its beginning and dies by SIGKILL, without the second
that the imports would take. The last child runs to its end.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vidground_core import Ask, Engine, EngineConfig, Reply, hookimpl

VIDGROUND_API = ">=1,<2"


class CountingConfig(EngineConfig):
    """Options of the counting engine."""

    log: str = Field("", description="File that each ask is appended to as it is taken and as it is answered.")
    seconds: float = Field(0.0, description="Seconds that an ask takes.")
    concurrency: int = Field(8, description="Asks at a time.")
    dies_at: int = Field(-1, description="The engine raises at this ask.")


class Counting(Engine[CountingConfig]):
    """Answers from a hash of the ask."""

    name: ClassVar[str] = "counting"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Any]] = CountingConfig
    can = frozenset({"text", "letters", "logprobs", "images", "video"})

    @property
    def identity(self) -> str:
        return f"counting {self.config.model}"

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """One task an ask, `concurrency` of them at most."""
        log = os.open(self.config.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if self.config.log else -1
        running: set[asyncio.Task[tuple[str, Reply]]] = set()
        seen = 0
        feed: asyncio.Future[tuple[str, Ask] | None] | None = asyncio.ensure_future(anext(asks, None))
        while running or feed is not None:
            waiting: set[Any] = running | ({feed} if feed is not None and len(running) < self.config.concurrency else set())
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if feed in done:
                done.discard(feed)
                taken = feed.result()
                if seen == self.config.dies_at:
                    raise RuntimeError("the machine is gone")
                seen += 1
                feed = None if taken is None else asyncio.ensure_future(anext(asks, None))
                if taken is not None:
                    running.add(asyncio.ensure_future(self._one(*taken, log)))
            running -= done
            for task in done:
                yield task.result()

    async def _one(self, token: str, ask: Ask, log: int) -> tuple[str, Reply]:
        if log >= 0:
            os.write(log, f"taken {token}\n".encode())
        await asyncio.sleep(self.config.seconds)
        if log >= 0:
            os.write(log, f"answered {token}\n".encode())
        digest = hashlib.sha256(repr(ask.messages).encode()).digest()
        if not ask.continuations:
            return token, Reply("answered", text="ABCD"[digest[0] % 4], usage=(10, 1))
        count = len(ask.continuations)
        return token, Reply("answered", logprobs=tuple(-value / 37 for value in digest[:count]), tokens=(1,) * count, usage=(10, 1))


@hookimpl
def vidground_register_engines() -> list[type[Any]]:
    """The engine."""
    return [Counting]


def stored(store: Path) -> set[str]:
    """The keys that are committed."""
    try:
        connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        found = {key.hex() for (key,) in connection.execute("SELECT key FROM replies")}
        connection.close()
    except sqlite3.OperationalError:
        return set()
    return found


def lines(log: Path) -> list[list[str]]:
    """(taken or answered, key) as logged; a line that a kill tore off is left out."""
    return [line.split() for line in log.read_text().splitlines() if line.count(" ") == 1] if log.exists() else []


def killed(log: Path, arguments: list[str], *, asks: int, seconds: float) -> int:
    """Runs the command in a child, kills it `seconds` after it took so many asks; its exit status, negative for the signal."""
    before = log.stat().st_size if log.exists() else 0
    child = os.fork()
    if child == 0:
        run(arguments)
    per_ask = len("taken ") + len("answered ") + 2 * 65
    while asks >= 0 and (log.stat().st_size if log.exists() else 0) < before + asks * per_ask:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    time.sleep(seconds)
    if asks >= 0:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(arguments: list[str]) -> None:
    """The command; does not return."""
    from vidground_core.cli.app import main

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = 1
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def report(kills: int, seed: int, log: Path, arguments: list[str]) -> dict[str, Any]:
    """Kills at random moments, then a run to the end; for each session what it took, answered and left in the store."""
    import vidground_core.experiments.detection as detection
    from vidground_core.cli.app import build_app
    from vidground_core.plugins import load_registry
    from vidground_core.runs.options import RunnerOptions

    build_app(load_registry())  # imports what every child needs
    detection.RunnerOptions = lambda **options: RunnerOptions(rows_per_part=200, **options)  # type: ignore[misc, assignment]
    store, draw, sessions = Path(arguments[arguments.index("--out") + 1]) / "replies.sqlite", random.Random(seed), []
    for kill in range(kills + 1):
        start = len(lines(log))
        # Every fifth is killed while it starts, before or just after its first ask.
        wanted = -1 if kill == kills else 0 if kill % 5 == 4 else draw.randrange(1, 150)
        code = killed(log, arguments, asks=wanted, seconds=draw.random() * (0.2 if wanted == 0 else 0.06))
        now = lines(log)[start:]
        session = {word: [key for said, key in now if said == word] for word in ("taken", "answered")}
        sessions.append({"code": code, **session, "stored": sorted(stored(store))})
    return {"sessions": sessions}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])))
