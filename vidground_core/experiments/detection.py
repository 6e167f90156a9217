"""vg detect: a data set through detectors into verdicts. vg audit builds on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from vidground_core.detectors.base import ProbeDetector
from vidground_core.experiments.assembly import Assembly, Dataset, described
from vidground_core.experiments.context import Context
from vidground_core.experiments.progress import RunProgress
from vidground_core.records import Question, SetAside, Verdict
from vidground_core.runs.batch_files import Batch
from vidground_core.runs.directory import RunDirectory
from vidground_core.runs.executor import Executor
from vidground_core.runs.layout import Layout
from vidground_core.runs.options import BoundDetector, DetectorCounts, RunnerOptions, check_engines
from vidground_core.runs.runner import run_detectors
from vidground_core.runs.set_aside import read_set_aside
from vidground_core.runs.sharding import parse_shard
from vidground_core.tables import count, read

Finish = Callable[[Layout, Dataset], dict[str, Any]]


def check_detection(assembly: Assembly) -> None:
    """Builds all that a detection needs, so that what can be refused is refused before anything is written."""
    bind(assembly, assembly.executor())
    assembly.dataset()


def bind(assembly: Assembly, executor: Executor[Any]) -> list[BoundDetector]:
    """The detectors with the engines and the executor that answer them."""
    bound = []
    for detector in assembly.detectors():
        engines = assembly.engines_of(detector) if isinstance(detector, ProbeDetector) else {}
        bound.append(BoundDetector(detector, engines, executor))  # type: ignore[arg-type]
    return bound


@dataclass(frozen=True)
class Detection:
    """How a detection is done: `verb` is the command's name, `finish` makes its object of the verdicts, `batch` names batch files."""

    verb: str = "detect"
    finish: Finish | None = None
    batch: Batch = field(default_factory=Batch)


def detect(
    assembly: Assembly, out: Path, context: Context, *, passed: Mapping[str, Any], detection: Detection | None = None
) -> dict[str, Any]:
    """Runs the detectors and returns the object of `vg detect --json`, or what `finish` makes of the verdicts.

    Where asks went into batch files in place of an engine, the object of `vg detect` has them under `batch`, and the run is not finished.
    """
    how = detection or Detection()
    dataset = assembly.dataset()
    with closing(assembly.executor()) as executor:
        bound = bind(assembly, executor)
        options = _options(assembly, context, how)
        for one in bound:
            check_engines(one, options)
        rows = readable_rows(dataset, out)
        with RunDirectory.open(out, how.verb, passed=passed, resolved=_resolved(assembly, dataset, bound)) as directory:
            if directory.done and directory.result is not None:
                return directory.result
            with RunProgress(context) as progress:
                counts = run_detectors(Layout(out), rows, bound, options=options, on_event=context.tell, progress=progress)
            return _ended(directory, dataset, counts, how, context)


def _options(assembly: Assembly, context: Context, how: Detection) -> RunnerOptions:
    settings = assembly.settings
    return RunnerOptions(
        step=how.verb,
        max_failures=settings.max_failures,
        store=Path(settings.store) if settings.store else None,
        budget=context.budget,
        shard=parse_shard(settings.shard) if settings.shard else None,
        batch=how.batch,
    )


def _ended(directory: RunDirectory, dataset: Dataset, counts: list[DetectorCounts], how: Detection, context: Context) -> dict[str, Any]:
    """Writes down how the run ended, and returns its object."""
    layout = Layout(directory.path)
    for line in how.batch.told():
        context.note(line)
    directory.count(questions=count(layout.questions_folder), failed=sum(one.failed for one in counts))
    if any(one.postponed for one in counts):
        result = _result(layout, counts, how.batch)
        directory.interrupt("asks are written to batch files and wait for their results")
        return result
    for one in counts:
        _tell_silence(layout, one, context)
    result = how.finish(layout, dataset) if how.finish else _result(layout, counts, how.batch)
    directory.finish(result)
    return result


def _tell_silence(layout: Layout, counted: DetectorCounts, context: Context) -> None:
    """Says of a detector that judged nothing what most of its verdicts say why."""
    reasons: Counter[str] = Counter()
    if counted.asked + counted.reused + counted.failed == 0:
        for verdict in read(layout.verdicts_folder(counted.name), Verdict):
            if verdict.shortcut is not None or verdict.answered is not None:
                return
            reasons[verdict.evidence[0] if verdict.evidence else "no reason is given"] += 1
    for reason, questions in reasons.most_common(1):
        context.note(f"warning: {counted.name} judged none of {reasons.total()} questions; of {questions} it says: {reason}")


def _resolved(assembly: Assembly, dataset: Dataset, bound: list[BoundDetector]) -> dict[str, Any]:
    resolved: dict[str, Any] = {"dataset": described(dataset.loader), "limit": dataset.limit, "seed": assembly.settings.seed}
    if assembly.settings.shard:
        resolved["shard"] = str(parse_shard(assembly.settings.shard))
    return resolved | {"detectors": {one.detector.name: _described(one) for one in bound}}


def readable_rows(dataset: Dataset, out: Path) -> Iterator[Question | SetAside]:
    """The rows; for a new run the first is read at once, so that a file that cannot be read leaves no directory behind."""
    rows = dataset.rows()
    if (out / "run.json").exists():
        return rows
    first = list(islice(rows, 1))
    return chain(first, rows)


def _described(bound: BoundDetector) -> dict[str, Any]:
    engines = {role: engine.identity for role, engine in bound.engines.items()}
    return described(bound.detector) | ({"engines": engines} if engines else {})


def _result(layout: Layout, counts: list[DetectorCounts], batch: Batch) -> dict[str, Any]:
    result: dict[str, Any] = {
        "out": str(layout.root),
        "questions": count(layout.questions_folder),
        "set_aside": len(read_set_aside(layout.set_aside_file)),
        "detectors": [one.as_json() for one in counts],
    }
    return result | ({"batch": batch.as_json()} if batch.used else {})
