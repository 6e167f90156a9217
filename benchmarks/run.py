"""Runs the benchmarks of this folder, each in a process of its own, one after the other, and prints one table of all their rows.

    python benchmarks/run.py [--only NAME]... [--quick] [--out FILE] [--timeout SECONDS]

A benchmark is a script NAME.py that with `--json` prints as its last line {"benchmark": NAME, "rows": [{"what", "value", "unit", "limit",
"ratio", "aim"}]}: `limit` is what the value is held against, in its unit (a number, or a name where the number is another row's), `ratio`
how they compare, `aim` the least ratio promised (a number), a condition such as "<= 10 s", or null. {"benchmark": NAME, "missing": "..."}
says what it cannot run without. With --quick those scripts run that know `--quick`. Back-ends that have an environment of their own
(.venv-vllm, .venv-ray) are run there. Exit status: 0 where every benchmark ran (also where an aim was missed), 1 where one failed, 2 for
a name that there is none of.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("vidground-core", "numpy", "torch", "transformers", "trl", "av", "decord", "vllm", "ray", "openai")
# The back-end that a benchmark needs; its environment is the one that `make test-backend-NAME` makes.
BACKENDS = {"vllm_engine": "vllm", "ray_executor": "ray"}
# The environment of a peer without which a benchmark leaves rows out, and what makes it.
PEERS = {"scoring": (".venv-lmeval", "python -m venv .venv-lmeval && .venv-lmeval/bin/pip install -r constraints/lm-eval.txt")}
COLUMNS = ("benchmark", "what", "value", "unit", "limit", "ratio", "aim", "met")
_CONDITION = re.compile(r"\s*(>=|<=|≥|≤|<|>)?\s*([\d.,_]+(?:e\d+)?)\s*(.*)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this benchmark; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes: the shape of the table, not its numbers")
    parser.add_argument("--out", type=Path, help="also write everything to this JSON file")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one benchmark may take")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    scripts = find(chosen.folder)
    for name in chosen.only:
        if name not in scripts:
            near = get_close_matches(name, scripts, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            print(f"--only {name!r}: no such benchmark{meant} There are: {', '.join(scripts)}", file=sys.stderr)
            return 2
    machine = describe_machine()
    print("\n".join(f"{key}: {value}" for key, value in machine.items()), flush=True)
    results: list[dict[str, Any]] = []
    try:
        for name in chosen.only or scripts:
            print(f"{name} ...", file=sys.stderr, flush=True)
            results.append(run(scripts[name], quick=chosen.quick, timeout=chosen.timeout))
            print(f"{name}: {results[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped: the table has what had run", file=sys.stderr)
        return 130
    finally:
        print("\n" + table(results), flush=True)
        if chosen.out:
            chosen.out.write_text(
                json.dumps({"format": 1, "quick": chosen.quick, "machine": machine, "benchmarks": results}, indent=1) + "\n"
            )
    return int(any("failed" in result for result in results))


def find(folder: Path) -> dict[str, Path]:
    """The benchmarks of a folder by name: the scripts that know `--json`."""
    return {
        path.stem: path for path in sorted(folder.glob("*.py")) if path.stem != "run" and '"--json"' in path.read_text(encoding="utf-8")
    }


def run(script: Path, *, quick: bool, timeout: float) -> dict[str, Any]:
    """What a benchmark printed, with its name and seconds; or one line under "missing" (not run) or "failed"."""
    name, started = script.stem, time.monotonic()
    python = interpreter(name)
    if not python:
        need = BACKENDS[name]
        return {
            "benchmark": name,
            "seconds": 0.0,
            "missing": f"{need} is not installed: KEEP=1 make test-backend-{need} makes .venv-{need}",
        }
    if quick and '"--quick"' not in script.read_text(encoding="utf-8"):
        return {"benchmark": name, "seconds": 0.0, "missing": "it has no small size: run it without --quick"}
    command = [python, str(script), "--json", *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return {"benchmark": name, "seconds": time.monotonic() - started, "failed": f"not done after {timeout:g} s (--timeout)"}
    result = {"benchmark": name, "seconds": time.monotonic() - started, **read_result(done)}
    for row in result.get("rows", []):
        row["met"] = is_met(row)
    peer, recipe = PEERS.get(name, ("", ""))
    if peer and "rows" in result and not (ROOT / peer).is_dir():
        result["left_out"] = f"rows beside its peer: there is no {peer}; {recipe}"
    return result


def interpreter(name: str) -> str:
    """The Python that can run a benchmark: that of its back-end's environment, else this one; "" where neither has the back-end."""
    backend = BACKENDS.get(name)
    own = ROOT / f".venv-{backend}" / "bin" / "python"
    if backend and own.exists():
        return str(own)
    return sys.executable if backend is None or find_spec(backend) else ""


def read_result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Rows, "missing" or "failed" of a finished benchmark."""
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [last])[-1]
        return {"failed": f"exit status {done.returncode}: {said}"}
    try:
        printed = json.loads(last)
        if "missing" in printed:
            return {"missing": str(printed["missing"])}
        rows = [dict.fromkeys(COLUMNS[1:-1]) | row for row in printed["rows"]]
    except (ValueError, KeyError, TypeError):
        return {"failed": f"its last line is not the JSON of a benchmark: {last[:200]!r}"}
    return {"rows": rows} if rows else {"failed": "it printed no rows"}


def is_met(row: dict[str, Any]) -> bool | None:
    """Whether a row reaches its aim: by its value where the aim names the row's unit or there is no ratio, else by its ratio."""
    aim = row.get("aim")
    condition = _CONDITION.fullmatch(str(aim)) if aim is not None and aim != "" else None
    if condition is None:
        return None
    sign, number, unit = condition.groups()
    bound = float(number.replace(",", "").replace("_", ""))
    of_value = row.get("ratio") is None or (bool(unit) and unit == row.get("unit"))
    held = row.get("value") if of_value else row.get("ratio")
    if not isinstance(held, int | float):
        return None
    return {"<": held < bound, ">": held > bound, "<=": held <= bound, "≤": held <= bound}.get(sign or ">=", held >= bound)


def table(results: Sequence[dict[str, Any]]) -> str:
    """All rows under one head; what did not run, and why, below."""
    lines = [COLUMNS]
    for result in results:
        for row in result.get("rows", []):
            met = {True: "yes", False: "no", None: ""}[row["met"]]
            lines.append((result["benchmark"], *(shown(row[name]) for name in COLUMNS[1:-1]), met))
    widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    missing = [f"not run: {result['benchmark']}: {result['missing']}" for result in results if "missing" in result]
    missing += [f"left out: {result['benchmark']}: {result['left_out']}" for result in results if "left_out" in result]
    failed = [f"FAILED: {result['benchmark']}: {result['failed']}" for result in results if "failed" in result]
    missed = sum(row["met"] is False for result in results for row in result.get("rows", []))
    return "\n".join([*text, *missing, *failed, *([f"{missed} rows miss their aim"] if missed else [])])


def shown(value: object) -> str:
    """A cell: three figures that count, thousands with commas."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def describe_machine() -> dict[str, str]:
    """What the numbers hang on: processor, cores, load at the start, versions, revision."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {there} cores",
        "load average at the start": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
        "revision": revision or "unknown",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
