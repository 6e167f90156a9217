"""vg eval: a model on benchmarks with its videos, through the same engines, store and answer rules as the detectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.config import build
from vidground_core.engines.base import Engine
from vidground_core.errors import ConfigError
from vidground_core.experiments.assembly import Assembly, Dataset, described
from vidground_core.experiments.context import Context
from vidground_core.experiments.progress import RunProgress
from vidground_core.experiments.splits import SplitRule, compare, split_rule, summarise
from vidground_core.experiments.watching import WatchConfig, WithVideo
from vidground_core.records import Question, Verdict
from vidground_core.runs.directory import RunDirectory
from vidground_core.runs.durable import write_json
from vidground_core.runs.executor import Executor
from vidground_core.runs.layout import Layout, folder_name
from vidground_core.runs.options import BoundDetector, DetectorCounts, RunnerOptions, check_capabilities, check_failures
from vidground_core.runs.runner import run_detectors
from vidground_core.runs.standing import Standing
from vidground_core.tables import read


@dataclass(frozen=True)
class EvalRequest:
    """What is evaluated: `model` a path or name, `out` the run directory. `verdicts` and `judge` define the TA and VG splits."""

    model: str
    out: Path
    verdicts: Path | None = None
    judge: str = ""


def evaluate(request: EvalRequest, assembly: Assembly, context: Context, *, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Asks every benchmark at every number of frames and returns the object of `vg eval --json`; it also stands in `results.json`.

    Raises ConfigError where no benchmark is given or one twice, FinishedWithFailuresError after the results are written where more
    asks stayed failed than allowed.
    """
    rule = split_rule(request.verdicts, request.judge)
    engine = assembly.engine(request.model, asker="vg eval")
    with closing(assembly.executor()) as executor:
        evaluation = _Evaluation(request.out, engine, executor, assembly, context)
        runs = evaluation.runs()
        resolved = evaluation.described() | {"verdicts": str(request.verdicts or ""), "judge": request.judge}
        with RunDirectory.open(request.out, "eval", passed=passed, resolved=resolved) as directory:
            if directory.done and directory.result is not None:
                return directory.result
            counts = [evaluation.ask(run) for run in runs]
            shown = [evaluation.result(run, rule) | {"asked": n.asked, "reused": n.reused} for run, n in zip(runs, counts, strict=True)]
            result = {"model": request.model, "benchmarks": shown}
            write_json(request.out / "results.json", result)
            for note in _notes(runs, shown):
                context.note(note)
            directory.count(failed=sum(n.failed for n in counts))
            check_failures(counts, assembly.settings.max_failures)
            directory.finish(result)
            return result


def _layout(out: Path, benchmark: str) -> Layout:
    return Layout(out, questions=f"questions/{folder_name(benchmark)}", verdicts="answers")


def _answers_name(benchmark: str, frames: int) -> str:
    return f"{benchmark}-{frames}"


def read_answers(out: Path, benchmark: str, frames: int) -> Iterator[tuple[Question, Verdict]]:
    """The questions of a benchmark with their answers (`answered` means right), from the directory of a finished evaluation."""
    layout = _layout(out, benchmark)
    verdicts = read(layout.verdicts_folder(_answers_name(benchmark, frames)), Verdict)
    yield from zip(read(layout.questions_folder, Question), verdicts, strict=True)


@dataclass(frozen=True)
class _Run:
    """One benchmark at one number of frames; `layout` says where its tables are."""

    benchmark: Dataset
    frames: int
    detector: WithVideo
    layout: Layout

    @property
    def label(self) -> str:
        return f"{self.benchmark.spec}, {self.frames} frames"

    @property
    def folder(self) -> str:
        return _answers_name(self.benchmark.spec, self.frames)

    def answers(self) -> Iterator[tuple[Question, Verdict]]:
        return read_answers(self.layout.root, self.benchmark.spec, self.frames)


@dataclass(frozen=True)
class _Evaluation:
    """Where and through what the questions are asked."""

    out: Path
    engine: Engine[Any]
    executor: Executor[Any]
    assembly: Assembly
    context: Context

    def runs(self) -> list[_Run]:
        """Everything to ask, checked: what can be refused is refused before the first question."""
        runs = []
        for benchmark in _benchmarks(self.assembly):
            layout = _layout(self.out, benchmark.spec)
            for frames in self.assembly.settings.eval.frames:
                detector = self._detector(frames).adapted(self.engine.can)
                check_capabilities(detector, self.engine)
                runs.append(_Run(benchmark, frames, detector, layout))
        return runs

    def _detector(self, frames: int) -> WithVideo:
        chosen = self.assembly.settings.eval
        options = {name: getattr(chosen, name) for name in ("pixels", "prompt", "scoring", "max_tokens", "changed")}
        return WithVideo(build(WatchConfig, {"frames": frames, **options}, "eval"))

    def described(self) -> dict[str, Any]:
        """What makes this evaluation another one when it changes."""
        settings = self.assembly.settings
        return {
            "engine": described(self.engine) | {"identity": self.engine.identity},
            "probe": {"name": WithVideo.name, "version": WithVideo.version},
            "eval": settings.eval.model_dump(mode="json"),
            "benchmarks": {one.spec: described(one.loader) for one in _benchmarks(self.assembly)},
            "limit": settings.limit,
        }

    def ask(self, run: _Run) -> DetectorCounts:
        """Asks what has no answer yet."""
        settings = self.assembly.settings
        bound = BoundDetector(run.detector, {"model": self.engine}, self.executor, folder=run.folder)
        # The limit is checked once over all benchmarks, so that a few failures in the first do not keep the others from being asked.
        store = Path(settings.store) if settings.store else None
        options = RunnerOptions(step="eval", max_failures=math.inf, store=store, budget=self.context.budget)
        with RunProgress(self.context) as progress:
            labelled = _Labelled(progress, run.label)
            rows, heard = run.benchmark.rows(), self.context.tell
            (counts,) = run_detectors(run.layout, rows, [bound], options=options, on_event=heard, progress=labelled)
        return counts

    def result(self, run: _Run, rule: SplitRule) -> dict[str, Any]:
        """The benchmark's part of the result."""
        chosen = self.assembly.settings.eval
        summary = summarise(run.answers(), rule, chosen.splits)
        changed = {"changed": compare(run.answers(), rule, chosen.splits, chosen.changed)} if chosen.changed else {}
        return {"name": run.benchmark.spec, "frames": run.frames, **summary, **changed}


@dataclass(frozen=True)
class _Labelled:
    """Progress of the probe under the benchmark's name."""

    progress: RunProgress
    label: str

    def advance(self, detector: str, standing: Standing) -> None:
        self.progress.advance(self.label, standing)


def _notes(runs: list[_Run], shown: list[dict[str, Any]]) -> Iterator[str]:
    for run, one in zip(runs, shown, strict=True):
        yield from (f"{run.label}: {note}" for note in one["notes"])
    present = sorted({name for one in shown for name in one["splits"]})
    for name in dict.fromkeys(name for one in shown for name in one["empty"]):
        if name not in present:
            yield f"no benchmark has questions in the split {name!r}; there is: {', '.join(present)}"


def _benchmarks(assembly: Assembly) -> list[Dataset]:
    specs = assembly.settings.eval.benchmarks
    if not specs:
        raise ConfigError("no benchmark given: --benchmark NAME:PATH, such as --benchmark planted:test")
    for spec in specs:
        if specs.count(spec) > 1:
            raise ConfigError(f"the benchmark {spec!r} is given twice")
    return [assembly.dataset(spec) for spec in specs]
