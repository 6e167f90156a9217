"""The executor `ray` on this machine: two workers against one on sleeping work, the cluster's fixed cost, the cost of an ask.

    python benchmarks/ray_executor.py [--json] [--quick] [--seconds 32]

Needs Ray (`pip install 'vidground-ray[ray]'`). Each row is printed with the limit it is held against and the ratio to it. Sleeping work
measures the executor and not the machine: an ask takes 10 ms in which nothing is computed, 8 asks to a batch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ENGINES = ROOT / "plugins" / "vidground-ray" / "tests" / "engines"
ASK_SECONDS = 0.01
INSTANT_ASKS = 20_000


def prepare() -> None:
    """Makes the engines without a model known here and to the workers."""
    sys.path.insert(0, str(ENGINES))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ENGINES), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


async def answer(executor: Any, engine: Any, number: int) -> tuple[float, float]:
    """Seconds to the first reply and in all."""
    from vidground_core import Ask

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for index in range(number):
            yield str(index), Ask((("user", (f"question {index}: which of the colours is it?",)),), ("red", "green", "blue", "white"))

    began, first, replies = time.perf_counter(), 0.0, 0
    async for _, reply in executor.answer(engine, feed()):
        first = first or time.perf_counter() - began
        replies += reply.status == "answered"
    if replies != number:
        raise SystemExit(f"{replies} of {number} asks were answered")
    return first, time.perf_counter() - began


def sleeping(workers: int, seconds: float) -> tuple[float, float]:
    """Work of `seconds` for one worker, by `workers`: (seconds to the first reply from nothing, seconds in all)."""
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor
    from vidground_ray_engines import ScriptedConfig, ScriptedEngine

    executor = RayExecutor(RayConfig(workers=str(workers), num_cpus=0.5))
    engine = ScriptedEngine(ScriptedConfig(seconds=ASK_SECONDS, window=8))
    try:
        return asyncio.run(answer(executor, engine, round(seconds / ASK_SECONDS)))
    finally:
        executor.close()


def instant(workers: int) -> float:
    """Asks a second where an answer costs nothing, on workers that are up."""
    from vidground_ray.config import RayConfig
    from vidground_ray.executor import RayExecutor
    from vidground_ray_engines import ScriptedConfig, ScriptedEngine

    executor = RayExecutor(RayConfig(workers=str(workers), num_cpus=0.5))
    engine = ScriptedEngine(ScriptedConfig(window=256))
    try:
        asyncio.run(answer(executor, engine, 1_000))
        _, took = asyncio.run(answer(executor, engine, INSTANT_ASKS))
    finally:
        executor.close()
    return INSTANT_ASKS / took


def measure(seconds: float) -> list[dict[str, Any]]:
    """All rows."""
    began = time.perf_counter()
    first_one, one = sleeping(1, seconds)
    first_two, two = sleeping(2, seconds)
    print(f"measured in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    fixed = (first_one + first_two) / 2
    rate = instant(1)
    return [
        row(f"2 workers against 1 on {seconds:g} s of sleeping work, start of the cluster included", one / two, "times", 2.0, 1.7),
        row("the same without the seconds to the first reply", (one - first_one) / (two - first_two), "times", 2.0, 1.7),
        row("1 worker against the work itself, start included", seconds / one, "of ideal", 1.0, None),
        {"what": "from nothing to the first reply", "value": round(fixed, 2), "unit": "s", "limit": None, "ratio": None, "aim": None},
        {
            "what": "asks through one worker, engine instant",
            "value": round(rate),
            "unit": "asks/s",
            "limit": None,
            "ratio": None,
            "aim": None,
        },
        {"what": "cost of an ask", "value": round(1e6 / rate), "unit": "µs", "limit": None, "ratio": None, "aim": None},
    ]


def row(what: str, value: float, unit: str, limit: float | None = None, aim: float | None = None) -> dict[str, Any]:
    """One row, with its ratio to the limit where there is one."""
    ratio = round(value / limit, 3) if limit else None
    return {"what": what, "value": round(value, 3), "unit": unit, "limit": limit, "ratio": ratio, "aim": aim}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--seconds", type=float, default=32.0, help="sleeping work, in seconds for one worker")
    parser.add_argument("--quick", action="store_true", help="little work: the shape of the table, not its numbers")
    options = parser.parse_args()
    if find_spec("ray") is None:
        missing = "Ray: make test-backend-ray KEEP=1, or pip install 'vidground-ray[ray]'"
        print(json.dumps({"benchmark": "ray_executor", "missing": missing}) if options.json else f"missing: {missing}")
        return
    prepare()
    rows = measure(4.0 if options.quick else options.seconds)
    if options.json:
        print(json.dumps({"benchmark": "ray_executor", "rows": rows}, ensure_ascii=False))
        return
    for each in rows:
        against = f"  limit {each['limit']:g}, ratio {each['ratio']:.3f}" if each["limit"] else ""
        aim = f", aim {each['aim']:g}" if each["aim"] else ""
        print(f"{each['what']:85} {each['value']:>10} {each['unit']}{against}{aim}")


if __name__ == "__main__":
    main()
