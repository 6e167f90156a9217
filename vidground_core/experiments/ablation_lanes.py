"""The runs of an ablation, side by side."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from vidground_core.errors import ConfigError, InputError, VidGroundError
from vidground_core.experiments.ablation_checks import evaluation_settings
from vidground_core.experiments.ablation_plan import Condition, Plan, Planner, Run
from vidground_core.experiments.ablation_results import START
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.benchmarks import EvalRequest, evaluate
from vidground_core.experiments.context import Context, ProgressDisplay
from vidground_core.experiments.training import TrainRequest, train
from vidground_core.runs.directory import read_record

TIMES = "runs.jsonl"


def data_folder(out: Path, condition: Condition) -> Path:
    """The table of questions of a data condition."""
    return out / "data" / condition.name / "kept" if condition.policies else out / "detect" / "questions"


@dataclass
class Lanes:
    """The runs, side by side: each lane takes the next run, trains it and evaluates its checkpoint; `refresh` is called after each."""

    planner: Planner
    plan: Plan
    out: Path
    context: Context
    refresh: Callable[[], None]
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
                    self.refresh()
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
            if key == START and isinstance(error, ConfigError):
                # What the start checkpoint cannot be evaluated with, no other can.
                raise
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
        request = EvalRequest(model, self.out / "eval" / key, own.verdict_folders, own.judge, own.ta_when)
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
