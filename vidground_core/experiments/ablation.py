"""vg ablate: arms × seeds under one protocol, as a graph with resume: what is done is not done again, what two arms share is done once."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vidground_core.errors import RunDirectoryError, TooManyFailuresError
from vidground_core.experiments.ablation_checks import check_ablation
from vidground_core.experiments.ablation_lanes import Lanes, data_folder
from vidground_core.experiments.ablation_plan import FILTERED, FULL, Condition, Planner, Size
from vidground_core.experiments.ablation_results import Collector
from vidground_core.experiments.ablation_tables import write_tables
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.context import Context
from vidground_core.experiments.detection import detect
from vidground_core.experiments.filtering import filter_set
from vidground_core.experiments.settings import RunSettings
from vidground_core.plugins import Registry
from vidground_core.records import Question
from vidground_core.runs.directory import NEUTRAL, RunDirectory, read_record
from vidground_core.runs.durable import write_json
from vidground_core.tables import parts, read

# The share of the time that results written while a study runs may take.
WRITING = 0.01


def ablate(assembly: Assembly, out: Path, context: Context, *, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Detects, makes the data conditions, trains and evaluates every run, and returns the object of `vg ablate --json`.

    A run that fails does not keep the others from being done: TooManyFailuresError names the failed ones after the results of the rest
    are written; the same command tries only these again. Ctrl-C ends the runs under way at a checkpoint.
    """
    planner = check_ablation(assembly)
    resolved = assembly.settings.model_dump(mode="json")
    # Arms, seeds and budgets may be added to a finished study: each run's own folder still refuses other settings.
    with RunDirectory.open(out, "ablate", passed=passed, resolved=resolved, neutral=NEUTRAL | {"ablation"}) as directory:
        if directory.done and directory.result is not None:
            return directory.result
        sizes = _conditions(planner, out, context, passed)
        plan = planner.plan(sizes)
        for note in plan.notes:
            context.note(note)
        results = _Results(Collector(planner, plan, sizes, out), out)
        failures: dict[str, str] = {}
        try:
            failures = Lanes(planner, plan, out, context, results.refresh).run()
        finally:
            result = results.write()
        directory.count(failed=len(failures))
        if failures:
            raise TooManyFailuresError(_failed(failures))
        directory.finish(result)
        return result


def results_of(out: Path, registry: Registry) -> dict[str, Any]:
    """The results of a study as far as it is, from its directory alone; writes nothing. Raises RunDirectoryError where it is none."""
    record = read_record(out)
    if record["verb"] != "ablate":
        raise RunDirectoryError(f"{str(out)!r} was made by 'vg {record['verb']}', not by 'vg ablate'")
    planner = Planner(Assembly(RunSettings.model_validate(record["resolved"]), registry))
    sizes = sizes_of(planner, out)
    return Collector(planner, planner.plan(sizes), sizes, out).result()


@dataclass
class _Results:
    """Writes `results.json` as runs finish, so that a study can be looked at while it runs; the tables at its end."""

    collector: Collector
    out: Path
    _cost: float = 0.0
    _written: float = -math.inf

    def refresh(self) -> None:
        """Unless that would take more than its share of the time."""
        if (time.monotonic() - self._written) * WRITING > self._cost:
            self._put()

    def write(self) -> dict[str, Any]:
        """The final results, with tables."""
        result = self._put()
        write_tables(result, self.out)
        return result

    def _put(self) -> dict[str, Any]:
        began = time.process_time()
        result = self.collector.result()
        write_json(self.out / "results.json", result)
        self._written, self._cost = time.monotonic(), time.process_time() - began
        return result


def _failed(failures: Mapping[str, str]) -> str:
    first = next(iter(failures))
    return (
        f"{len(failures)} runs failed: {', '.join(failures)}; {first} said: {failures[first]}\n"
        "the results of the others are written; the same command tries the failed ones again"
    )


def _conditions(planner: Planner, out: Path, context: Context, passed: Mapping[str, Any]) -> dict[str, Size]:
    """Detects and makes every data condition; their sizes by name."""
    assembly = planner.assembly
    detect(assembly, out / "detect", context, passed=passed)
    for condition in planner.conditions():
        if condition.policies:
            made = filter_set(
                out / "detect", assembly, out / "data" / condition.name, context, passed=passed, policies=planner.filters(condition)
            )
            context.note(f"data {condition.name}: {made['kept']} of {made['total']} questions")
    return sizes_of(planner, out)


def sizes_of(planner: Planner, out: Path) -> dict[str, Size]:
    """The size of each condition by name, all of which are made; the full set is always among them."""
    rule = planner.settings.grounded
    budgeted = "vg-prompts" in planner.settings.budgets
    kept = set(_ids(out / "data" / FILTERED / "kept")) if rule == FILTERED and budgeted else set[str]()
    tag, _, value = rule.partition("=")
    sizes = {}
    for condition in (Condition(FULL), *planner.conditions()):
        folder = data_folder(out, condition)
        ids = _ids(folder)
        if not budgeted:
            grounded = 0
        elif rule == FILTERED:
            grounded = sum(each in kept for each in ids)
        else:
            grounded = sum(row.tags.get(tag) == value for row in read(folder, Question))
        sizes[condition.name] = Size(len(ids), grounded, sha256("\n".join(ids).encode()).hexdigest())
    return sizes


def _ids(folder: Path) -> list[str]:
    return [name for part in parts(folder) for name in pq.read_table(part, columns=["id"])["id"].to_pylist()]
