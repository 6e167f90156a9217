"""A Ray cluster on this machine for all tests, and engines without a model that its workers find by name."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Ask, Reply

ENGINES = Path(__file__).parent / "engines"


@pytest.fixture(scope="session")
def engines() -> Iterator[Any]:
    """The module of the engines; importable here and, by PYTHONPATH, in every process started from here."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ENGINES)
    sys.path.insert(0, str(ENGINES))
    import vidground_ray_engines

    yield vidground_ray_engines
    sys.path.remove(str(ENGINES))
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture(scope="session")
def ray(engines: Any) -> Iterator[Any]:
    """Ray, with a cluster of this process that executors join. Started in the main thread, which outlives it."""
    ray = pytest.importorskip("ray", reason="needs Ray: make test-backend-ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options = {"include_dashboard": False, "log_to_driver": False, "object_store_memory": 128 * 2**20, "num_cpus": 4}
    ray.init(address="local", logging_level="FATAL", **options)
    yield ray
    ray.shutdown()


@dataclass(frozen=True)
class Log:
    """What the engines wrote down."""

    folder: Path

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt reached an engine, in any process."""
        return Counter(line for file in self.folder.glob("asked-*") for line in file.read_text().splitlines())

    @property
    def pids(self) -> list[int]:
        """The processes in which an engine started, oldest first."""
        return [
            int(file.name.partition("-")[2]) for file in sorted(self.folder.glob("started-*"), key=lambda file: file.stat().st_mtime_ns)
        ]

    @property
    def closed(self) -> int:
        """How many engines were closed."""
        return len(list(self.folder.glob("closed-*")))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    folder = tmp_path / "log"
    folder.mkdir()
    return Log(folder)


def prompt(text: str) -> Ask:
    return Ask((("user", (text,)),))


@pytest.fixture
def answers(ray: Any) -> Iterator[Callable[..., dict[str, Reply]]]:
    """Answers texts by an engine over the cluster: {text: reply}. Each is checked to be answered once. `during` runs beside it."""
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor

    executors: list[RayExecutor] = []

    def run(
        engine: Any, texts: Sequence[str], *, during: Any = None, executor: RayExecutor | None = None, **options: Any
    ) -> dict[str, Reply]:
        if executor is None:
            executor = RayExecutor(RayConfig(**({"num_cpus": 0.5} | options)))
        if executor not in executors:
            executors.append(executor)
        return asyncio.run(collect(executor, engine, texts, during))

    yield run
    for executor in executors:
        executor.close()


async def collect(executor: Any, engine: Any, texts: Sequence[str], during: Any = None) -> dict[str, Reply]:
    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for text in texts:
            yield text, prompt(text)

    beside = asyncio.ensure_future(asyncio.to_thread(during)) if during else None
    found: dict[str, Reply] = {}
    async for token, reply in executor.answer(engine, feed()):
        assert token not in found, f"{token!r} was answered twice"
        found[token] = reply
    if beside is not None:
        await beside
    assert set(found) == set(texts)
    return found
