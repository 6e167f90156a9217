"""vg ablate: arms × seeds under one protocol, as a graph with resume: what is done is not done again, what two arms share is done once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from vidground_core.errors import TooManyFailuresError, VidGroundError
from vidground_core.experiments.ablation_plan import FILTERED, FULL, Condition, Plan, Planner, Run, Size
from vidground_core.experiments.ablation_results import collect
from vidground_core.experiments.ablation_tables import write_tables
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.benchmarks import EvalRequest, evaluate
from vidground_core.experiments.context import Context, ProgressDisplay
from vidground_core.experiments.detection import check_detection, detect
from vidground_core.experiments.filtering import filter_set
from vidground_core.experiments.training import TrainRequest, train, train_job
from vidground_core.records import Question
from vidground_core.runs.directory import NEUTRAL, RunDirectory, read_record
from vidground_core.runs.durable import write_json
from vidground_core.tables import count, read

TIMES = "runs.jsonl"
START = "start"


def check_ablation(assembly: Assembly) -> Planner:
    """Builds all that an ablation needs, so that what can be refused is refused before anything is asked or trained."""
    planner = Planner(assembly)
    check_detection(assembly)
    for benchmark in assembly.settings.eval.benchmarks:
        assembly.dataset(benchmark)
    assembly.engine(asker="vg ablate")
    return planner


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
        lanes = _Lanes(planner, plan, out, context)
        failures: dict[str, str] = {}
        try:
            failures = lanes.run()
        finally:
            result = _write(planner, plan, sizes, out)
        directory.count(failed=len(failures))
        if failures:
            raise TooManyFailuresError(_failed(failures))
        directory.finish(result)
        return result


def _write(planner: Planner, plan: Plan, sizes: Mapping[str, Size], out: Path) -> dict[str, Any]:
    result = collect(planner, plan, sizes, out)
    write_json(out / "results.json", result)
    write_tables(result, out)
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
    by_filter = rule == FILTERED and "vg-prompts" in planner.settings.budgets
    kept = {question.id for question in read(out / "data" / FILTERED / "kept", Question)} if by_filter else set[str]()
    tag, _, value = rule.partition("=")
    sizes = {}
    for condition in (Condition(FULL), *planner.conditions()):
        folder = data_folder(out, condition)
        if "vg-prompts" not in planner.settings.budgets:
            sizes[condition.name] = Size(count(folder), 0)
            continue
        rows = [row.id in kept if by_filter else row.tags.get(tag) == value for row in read(folder, Question)]
        sizes[condition.name] = Size(len(rows), sum(rows))
    return sizes


@dataclass
class _Lanes:
    """The runs, side by side: each lane takes the next run, trains it and evaluates its checkpoint."""

    planner: Planner
    plan: Plan
    out: Path
    context: Context
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
            work |= {pool.submit(self._on, devices, self._one, run): run.key for run in self.plan.runs}
            try:
                for finished in as_completed(work):
                    self._heed(finished, work[finished], failures)
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

    def _on(self, devices: SimpleQueue[str], work: Any, *arguments: Any) -> None:
        device = devices.get()
        try:
            work(*arguments, device)
        finally:
            devices.put(device)

    def _start(self, device: str) -> None:
        self._evaluate(START, self.planner.assembly.settings.model, device)

    def _one(self, run: Run, device: str) -> None:
        began = time.monotonic()
        done = _finished(self.out / "train" / run.key) and _finished(self.out / "eval" / run.key)
        settings = self.planner.assembly.settings
        section = settings.run.model_copy(update={"threads": self.planner.settings.threads})
        settings = settings.model_copy(update={"trainer": dict(run.trainer), "seed": run.seed, "run": section})
        folder = self.out / "train" / run.key
        request = TrainRequest(str(data_folder(self.out, run.condition)), folder, devices=device, stop=self.stop)
        trained = train(request, Assembly(settings, self.planner.assembly.registry), self._quiet(), passed={"run": run.key})
        trained_in = time.monotonic() - began
        self._evaluate(run.key, trained["checkpoint"], device)
        if not done:
            self._note_time(run, trained, trained_in, time.monotonic() - began - trained_in)

    def _evaluate(self, key: str, model: str, device: str) -> None:
        own = self.planner.settings
        settings = self.planner.assembly.settings
        if device and settings.engine.get("name", "transformers") == "transformers":
            settings = settings.model_copy(update={"engine": {**settings.engine, "device": f"cuda:{device.split(',')[0]}"}})
        request = EvalRequest(model, self.out / "eval" / key, Path(own.verdicts) if own.verdicts else None, own.judge)
        evaluate(request, Assembly(settings, self.planner.assembly.registry), self._quiet(), passed={"run": key})

    def _note_time(self, run: Run, trained: Mapping[str, Any], training: float, evaluation: float) -> None:
        line = {"run": run.key, "prompts": trained["prompts"], "tokens": trained["tokens"], "training_s": round(training, 2)}
        with self._writing, (self.out / TIMES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | {"evaluation_s": round(evaluation, 2)}) + "\n")
        self.context.note(f"{run.key}: {trained['prompts']} prompts in {training:.0f} s, evaluated in {evaluation:.0f} s")

    def _quiet(self) -> Context:
        """Without progress displays: several lanes would write over each other."""
        return replace(self.context, progress=_no_display)


class _NoDisplay:
    def update(self, standing: object) -> None:
        """Shows nothing."""


@contextmanager
def _no_display(label: str) -> Iterator[ProgressDisplay]:
    yield _NoDisplay()


def _finished(folder: Path) -> bool:
    return (folder / "run.json").exists() and read_record(folder)["status"] == "done"


def plan_ablation(assembly: Assembly, out: Path) -> dict[str, Any]:
    """The object of `vg ablate --dry-run --json`; writes nothing.

    Sizes of data conditions, and so the prompts of the budget vg-prompts, are known once `out` holds them; before, every question of the
    data set counts as kept and these prompts are upper bounds, which `notes` says. GPU-hours come from runs that are done in `out`, or
    from ablation.gpu_hours_per_1000_prompts; null where there is neither.
    """
    planner = check_ablation(assembly)
    made = all(_finished(out / "data" / each.name) for each in planner.conditions() if each.policies) and _finished(out / "detect")
    notes = []
    if made:
        sizes = sizes_of(planner, out)
    else:
        questions = sum(isinstance(row, Question) for row in assembly.dataset().rows())
        sizes = dict.fromkeys([FULL, *(each.name for each in planner.conditions())], Size(questions, questions))
        notes.append("the data conditions are not made yet: every question counts as kept, prompts under vg-prompts are upper bounds")
    plan = planner.plan(sizes)
    cost = _cost(assembly, out)
    return {
        "out": str(out),
        "data": [{"name": name, "questions": size.questions if made else None} for name, size in sizes.items()],
        "runs": [_planned(run, plan, out, cost) for run in plan.runs],
        "prompts": sum(run.prompts for run in plan.runs),
        "tokens": _scaled(plan.runs, cost.get("tokens")),
        "gpu_hours": _scaled(plan.runs, cost.get("hours")),
        "notes": [*notes, *plan.notes],
        "warnings": _warnings(planner, plan, out),
    }


def _planned(run: Run, plan: Plan, out: Path, cost: Mapping[str, float]) -> dict[str, Any]:
    uses = [f"{use.arm} ({use.budget})" for use in plan.uses if use.run is run]
    facts = {"run": run.key, "data": run.condition.name, "seed": run.seed, "trainer": run.trainer["name"], "prompts": run.prompts}
    return facts | {
        "used_by": uses,
        "done": _finished(out / "train" / run.key) and _finished(out / "eval" / run.key),
        "tokens": _scaled([run], cost.get("tokens")),
        "gpu_hours": _scaled([run], cost.get("hours")),
    }


def _scaled(runs: Sequence[Run], per_prompt: float | None) -> float | None:
    return None if per_prompt is None else sum(run.prompts for run in runs) * per_prompt


def _cost(assembly: Assembly, out: Path) -> dict[str, float]:
    """Tokens and hours a prompt, as far as known."""
    known = {}
    if assembly.settings.ablation.gpu_hours_per_1000_prompts:
        known["hours"] = assembly.settings.ablation.gpu_hours_per_1000_prompts / 1000
    file = out / TIMES
    done = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    prompts = sum(line["prompts"] for line in done)
    if prompts:
        known["tokens"] = sum(line["tokens"] for line in done) / prompts
        known["hours"] = sum(line["training_s"] for line in done) / 3600 / prompts
    return known


def _warnings(planner: Planner, plan: Plan, out: Path) -> list[str]:
    """What `check` finds missing for the first run of each trainer; data that is not made yet is not missing."""
    found: dict[str, None] = {}
    for run in {str(run.trainer["name"]): run for run in reversed(plan.runs)}.values():
        settings = planner.assembly.settings.model_copy(update={"trainer": dict(run.trainer), "seed": run.seed})

        request = TrainRequest(str(data_folder(out, run.condition)), out / "train" / run.key)
        job = train_job(request, Assembly(settings, planner.assembly.registry))
        missing = planner.trainer(run.trainer, seed=run.seed).check(job)
        found |= dict.fromkeys(line for line in missing if str(job.data) not in line)
    return list(found)
