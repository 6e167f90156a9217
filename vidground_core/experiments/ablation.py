"""vg ablate: arms × seeds under one protocol, as a graph with resume: what is done is not done again, what two arms share is done once."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pyarrow.parquet as pq

from vidground_core.errors import InputError, RunDirectoryError, TooManyFailuresError, VidGroundError
from vidground_core.experiments.ablation_plan import FILTERED, FULL, Condition, Plan, Planner, Run, Size
from vidground_core.experiments.ablation_results import START, Collector
from vidground_core.experiments.ablation_tables import write_tables
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.benchmarks import EvalRequest, evaluate
from vidground_core.experiments.context import Context, ProgressDisplay
from vidground_core.experiments.detection import check_detection, detect
from vidground_core.experiments.filtering import filter_set
from vidground_core.experiments.settings import RunSettings
from vidground_core.experiments.training import TrainRequest, train
from vidground_core.plugins import Registry
from vidground_core.records import Question
from vidground_core.runs.directory import NEUTRAL, RunDirectory, read_record
from vidground_core.runs.durable import write_json
from vidground_core.tables import parts, read

TIMES = "runs.jsonl"
# The share of the time that results written while a study runs may take.
WRITING = 0.01


def check_ablation(assembly: Assembly) -> Planner:
    """Builds all that an ablation needs, so that what can be refused is refused before anything is asked or trained."""
    planner = Planner(assembly)
    check_detection(assembly)
    judging = Assembly(evaluation_settings(assembly.settings), assembly.registry)
    for benchmark in judging.settings.eval.benchmarks:
        judging.dataset(benchmark)
    assembly.engine(asker="vg ablate")
    return planner


def evaluation_settings(settings: RunSettings) -> RunSettings:
    """The settings that every checkpoint is evaluated with."""
    options = settings.ablation.benchmark_options
    if options is None:
        return settings
    return settings.model_copy(update={"dataset": {**options, "name": settings.dataset.get("name", "")}})


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
            failures = _Lanes(planner, plan, out, context, results).run()
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


def data_folder(out: Path, condition: Condition) -> Path:
    """The table of questions of a data condition."""
    return out / "data" / condition.name / "kept" if condition.policies else out / "detect" / "questions"


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


@dataclass
class _Lanes:
    """The runs, side by side: each lane takes the next run, trains it and evaluates its checkpoint."""

    planner: Planner
    plan: Plan
    out: Path
    context: Context
    results: _Results
    stop: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> dict[str, str]:
        """Does every run that is not done; what failed and why, by key."""
        settings = self.planner.settings
        devices: SimpleQueue[str] = SimpleQueue()
        for lane in range(settings.parallel):
            devices.put(settings.devices[lane] if settings.devices else "")
        failures: dict[str, str] = {}
        with ThreadPoolExecutor(settings.parallel, thread_name_prefix="lane") as pool:
            work = {pool.submit(self._on, devices, self._start): START}
            trained: dict[str, Future[None]] = {}
            # A run waits only for runs that were submitted before it, so that lanes never all wait.
            for run in self.plan.runs:
                trained[run.key] = pool.submit(self._after, trained, devices, run)
                work[trained[run.key]] = run.key
            try:
                for finished in as_completed(work):
                    self._heed(finished, work[finished], failures)
                    self.results.refresh()
            except BaseException:
                # Ctrl-C reaches only this thread.
                for future in work:
                    future.cancel()
                self.stop.set()
                raise
        return failures

    def _heed(self, finished: Future[None], key: str, failures: dict[str, str]) -> None:
        try:
            finished.result()
        except VidGroundError as error:
            failures[key] = str(error)
            self.context.note(f"{key} failed: {error}")

    def _after(self, trained: Mapping[str, Future[None]], devices: SimpleQueue[str], run: Run) -> None:
        """A run, once those are done whose checkpoints it needs."""
        for option, key in run.needs.items():
            try:
                trained[key].result()
            except VidGroundError as error:
                raise InputError(f"trainer.{option} needs the checkpoint of {key}, which failed") from error
        self._on(devices, self._one, run)

    def _on(self, devices: SimpleQueue[str], work: Any, *arguments: Any) -> None:
        device = devices.get()
        try:
            work(*arguments, device)
        finally:
            devices.put(device)

    def _start(self, device: str) -> None:
        self._evaluate(START, self.planner.assembly.settings.model, device)

    def _one(self, run: Run, device: str) -> None:
        # What is done is still asked for: an arm whose options changed under its old name is refused there.
        done = is_finished(self.out / "train" / run.key) and is_finished(self.out / "eval" / run.key)
        settings = self.planner.assembly.settings
        section = settings.run.model_copy(update={"threads": self.planner.settings.threads})
        checkpoints = {option: read_record(self.out / "train" / key)["result"]["checkpoint"] for option, key in run.needs.items()}
        trainer = {**run.trainer, **checkpoints}
        settings = settings.model_copy(update={"trainer": trainer, "seed": run.seed, "run": section})
        folder = self.out / "train" / run.key
        request = TrainRequest(str(data_folder(self.out, run.condition)), folder, devices=device, stop=self.stop)
        spent = {"training_s": 0.0, "evaluation_s": 0.0}
        # What a session spent that is stopped counts too; prompts only once, when the run is done.
        counts = {"prompts": 0, "tokens": 0}
        try:
            with _clocked(spent, "training_s"):
                trained = train(request, Assembly(settings, self.planner.assembly.registry), self._quiet(), passed={"run": run.key})
            with _clocked(spent, "evaluation_s"):
                self._evaluate(run.key, trained["checkpoint"], device)
            counts = {name: trained[name] for name in counts}
        finally:
            if not done:
                self._note_time({"run": run.key, **counts, **spent})
        if not done:
            times = f"{counts['prompts']} prompts in {spent['training_s']:.0f} s, evaluated in {spent['evaluation_s']:.0f} s"
            self.context.note(f"{run.key}: {times}")

    def _evaluate(self, key: str, model: str, device: str) -> None:
        own = self.planner.settings
        settings = evaluation_settings(self.planner.assembly.settings)
        if device and settings.engine.get("name", "transformers") == "transformers":
            settings = settings.model_copy(update={"engine": {**settings.engine, "device": f"cuda:{device.split(',')[0]}"}})
        request = EvalRequest(model, self.out / "eval" / key, Path(own.verdicts) if own.verdicts else None, own.judge)
        evaluate(request, Assembly(settings, self.planner.assembly.registry), self._quiet(), passed={"run": key})

    def _note_time(self, line: Mapping[str, Any]) -> None:
        with self._writing, (self.out / TIMES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _quiet(self) -> Context:
        """Without progress displays: several lanes would write over each other."""
        return replace(self.context, progress=_no_display)


class _NoDisplay:
    def update(self, standing: object) -> None:
        """Shows nothing."""


@contextmanager
def _no_display(label: str) -> Iterator[ProgressDisplay]:
    yield _NoDisplay()


@contextmanager
def _clocked(spent: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        spent[name] = round(time.monotonic() - began, 2)


def is_finished(folder: Path) -> bool:
    """Whether the step that writes this directory has ended."""
    return (folder / "run.json").exists() and read_record(folder)["status"] == "done"
