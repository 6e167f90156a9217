"""vg detect: a data set through detectors into verdicts. vg audit builds on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

from vidground_core.detectors.base import ProbeDetector
from vidground_core.experiments.assembly import Assembly, Dataset, described
from vidground_core.experiments.context import Context, ProgressDisplay
from vidground_core.records import Question, SetAside
from vidground_core.runs.directory import RunDirectory
from vidground_core.runs.executor import Executor
from vidground_core.runs.layout import Layout
from vidground_core.runs.options import BoundDetector, DetectorCounts, RunnerOptions
from vidground_core.runs.runner import run_detectors
from vidground_core.runs.set_aside import read_set_aside
from vidground_core.tables import count

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


def detect(
    assembly: Assembly,
    out: Path,
    context: Context,
    *,
    passed: Mapping[str, Any],
    verb: str = "detect",
    finish: Finish | None = None,
) -> dict[str, Any]:
    """Runs the detectors and returns the object of `vg detect --json`, or what `finish` makes of the verdicts."""
    dataset = assembly.dataset()
    with closing(assembly.executor()) as executor:
        bound = bind(assembly, executor)
        rows = readable_rows(dataset, out)
        with RunDirectory.open(out, verb, passed=passed, resolved=_resolved(assembly, dataset, bound)) as directory:
            if directory.done and directory.result is not None:
                return directory.result
            counts = _run(assembly, rows, bound, context, (out, verb))
            result = finish(Layout(out), dataset) if finish else _result(out, counts)
            directory.count(questions=count(Layout(out).questions_folder), failed=sum(one.failed for one in counts))
            directory.finish(result)
            return result


def _run(
    assembly: Assembly,
    rows: Iterator[Question | SetAside],
    bound: list[BoundDetector],
    context: Context,
    where: tuple[Path, str],
) -> list[DetectorCounts]:
    out, verb = where
    settings = assembly.settings
    store = Path(settings.store) if settings.store else None
    options = RunnerOptions(step=verb, max_failures=settings.max_failures, store=store)
    with RunProgress(context) as progress:
        return run_detectors(Layout(out), rows, bound, options=options, on_event=context.registry.emit, progress=progress)


def _resolved(assembly: Assembly, dataset: Dataset, bound: list[BoundDetector]) -> dict[str, Any]:
    resolved = {"dataset": described(dataset.loader), "limit": dataset.limit, "seed": assembly.settings.seed}
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


def _result(out: Path, counts: list[DetectorCounts]) -> dict[str, Any]:
    layout = Layout(out)
    return {
        "out": str(out),
        "questions": count(layout.questions_folder),
        "set_aside": len(read_set_aside(layout.set_aside_file)),
        "detectors": [one.as_json() for one in counts],
    }


class RunProgress:
    """Shows how far each detector is; one display after the other."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stack = ExitStack()
        self._label = ""
        self._display: ProgressDisplay | None = None

    def advance(self, detector: str, done: int, total: int, asked: int, failed: int) -> None:
        """Called by the runner as verdicts come."""
        if detector != self._label or self._display is None:
            self._stack.close()
            self._label = detector
            self._display = self._stack.enter_context(self._context.progress(detector))
        self._display.update(done, total, f"{asked} asked" + (f", {failed} failed" if failed else ""))

    def __enter__(self) -> RunProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
