from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

from vidground_core.records import Ask, Reply
from vidground_core.runs.executor import ExecutorConfig
from vidground_core.runs.local import LocalExecutor


async def _feed(number: int) -> AsyncIterator[tuple[str, Ask]]:
    for index in range(number):
        yield f"{index}", Ask((("user", (f"{index}",)),))


def _answer(executor: LocalExecutor, engine: object, number: int) -> dict[str, Reply]:
    async def collect() -> dict[str, Reply]:
        return {token: reply async for token, reply in executor.answer(engine, _feed(number))}  # type: ignore[arg-type]

    return asyncio.run(collect())


def test_the_engine_is_started_once_and_closed_at_the_end(drive: ModuleType) -> None:
    executor, engine = LocalExecutor(ExecutorConfig()), drive.LogEngine(drive.LogConfig())
    assert len(_answer(executor, engine, 10)) == 10
    assert len(_answer(executor, engine, 3)) == 3
    assert (engine.starts, engine.closes) == (1, 0)
    executor.close()
    executor.close()
    assert engine.closes == 1


def test_without_an_ask_no_engine_is_started(drive: ModuleType) -> None:
    executor, engine = LocalExecutor(ExecutorConfig()), drive.LogEngine(drive.LogConfig())
    assert _answer(executor, engine, 0) == {}
    executor.close()
    assert (engine.starts, engine.closes) == (0, 0)


def test_the_runner_works_in_a_thread_of_a_larger_program(drive: ModuleType, tmp_path: Path) -> None:
    counts: list[object] = []
    thread = threading.Thread(target=lambda: counts.extend(drive.run(tmp_path, drive.bind(drive.Plain(drive.PlainConfig())))))
    thread.start()
    thread.join()
    assert len(counts) == 1


def test_the_executors_module_imports_fast() -> None:
    script = "import sys; import vidground_core.runs.local; print([n for n in ('torch', 'pyarrow', 'numpy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
