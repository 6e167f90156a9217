"""vg eval: a model on benchmarks with its videos, through the same engines, store and answer rules as the detectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.config import build
from vidground_core.engines.base import Engine
from vidground_core.errors import ConfigError
from vidground_core.evaluation.benchmark_prompts import BENCHMARK_PROMPTS_VERSION, HARNESSES
from vidground_core.experiments.assembly import Assembly, Dataset, described
from vidground_core.experiments.context import Context
from vidground_core.experiments.gains import compare, measures
from vidground_core.experiments.lmms_eval import LmmsEvalRun, write_lmms_eval
from vidground_core.experiments.progress import RunProgress
from vidground_core.experiments.sparse_to_dense import SparseToDense, VotingConfig
from vidground_core.experiments.splits import FULL, SplitRule, absent_splits, check_splits, directories, split_rule, summarise
from vidground_core.experiments.votes import votes_taken
from vidground_core.experiments.watching import WatchConfig, WithVideo
from vidground_core.records import Question, SetAside, Verdict
from vidground_core.runs.directory import NEUTRAL, RunDirectory
from vidground_core.runs.durable import read_json, write_json
from vidground_core.runs.executor import Executor
from vidground_core.runs.layout import Layout, folder_name
from vidground_core.runs.options import BoundDetector, DetectorCounts, RunnerOptions, check_capabilities, check_failures
from vidground_core.runs.runner import run_detectors
from vidground_core.runs.standing import Standing
from vidground_core.tables import read

# What may change in a directory that is finished: other numbers of frames are asked beside, other splits only counted anew.
_FREE = ("eval.frames", "eval.splits", "verdicts", "judge", "ta_when")
_VOTING = ("voting", "votes", "most_frames")
_ROWS = "rows.json"


@dataclass(frozen=True)
class EvalRequest:
    """What is evaluated: `model` a path or name, `out` the run directory.

    `verdicts` (one directory or several), `judge` and `ta_when` define the TA and VG splits, as in `splits.split_rule`. With `lmms_eval`
    the results are also written in the form of lmms-eval.
    """

    model: str
    out: Path
    verdicts: Path | Sequence[Path] | None = None
    judge: str = ""
    ta_when: str = "any"
    lmms_eval: bool = False


def evaluate(request: EvalRequest, assembly: Assembly, context: Context, *, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Asks every benchmark at every number of frames and returns the object of `vg eval --json`; it also stands in `results.json`.

    Raises ConfigError where no benchmark is given or one twice, or none has a question in one of the splits,
    FinishedWithFailuresError after the results are written where more asks stayed failed than allowed.
    """
    rule = split_rule(request.verdicts, request.judge, request.ta_when)
    engine = assembly.engine(request.model, asker="vg eval")
    with closing(assembly.executor()) as executor:
        evaluation = _Evaluation(request.out, engine, executor, assembly, context)
        runs = evaluation.runs()
        check_splits((benchmark.rows() for benchmark in _benchmarks(assembly)), rule, assembly.settings.eval.splits)
        resolved = evaluation.described() | _described_splits(request)
        with RunDirectory.open(request.out, "eval", passed=passed, resolved=resolved, neutral={*NEUTRAL, *_FREE}) as directory:
            if directory.done and directory.result is not None and _written(directory.result, request):
                return directory.result
            counts = [evaluation.ask(run) for run in runs]
            shown = [evaluation.result(run, rule) | {"asked": n.asked, "reused": n.reused} for run, n in zip(runs, counts, strict=True)]
            result: dict[str, Any] = {"model": request.model, "benchmarks": shown}
            if request.lmms_eval:
                result["lmms_eval"] = evaluation.lmms_eval(request.model, runs, directory)
            write_json(request.out / "results.json", result)
            for note in _notes(runs, shown):
                context.note(note)
            directory.count(failed=sum(n.failed for n in counts))
            check_failures(counts, assembly.settings.max_failures)
            directory.finish(result)
            return result


def _described_splits(request: EvalRequest) -> dict[str, Any]:
    folders = [str(folder) for folder in directories(request.verdicts)]
    found = {"verdicts": folders if len(folders) > 1 else "".join(folders), "judge": request.judge}
    return found if request.ta_when == "any" else found | {"ta_when": request.ta_when}


def _written(result: Mapping[str, Any], request: EvalRequest) -> bool:
    """Whether what a finished run is to have written is there."""
    return not request.lmms_eval or all(Path(path).is_file() for path in result.get("lmms_eval") or [""])


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

    def rows(self) -> Iterator[Question | SetAside]:
        """The benchmark's rows; how many there were is kept, so that those set aside are told."""
        number = 0
        for row in self.benchmark.rows():
            number += 1
            yield row
        self.layout.questions_folder.mkdir(parents=True, exist_ok=True)
        write_json(self.layout.questions_folder / _ROWS, {"rows": number})

    def set_aside(self, questions: int) -> int | None:
        """Rows that are no question; None where an earlier version wrote the table."""
        counted = read_json(self.layout.questions_folder / _ROWS)
        return None if counted is None else int(counted["rows"]) - questions

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
        options["seed"] = self.assembly.settings.seed
        if chosen.voting == "none":
            return WithVideo(build(WatchConfig, {"frames": frames, **options}, "eval"))
        voting = {"votes": chosen.votes, "most_frames": chosen.most_frames}
        return SparseToDense(build(VotingConfig, {"frames": frames, **options, **voting}, "eval"))

    def described(self) -> dict[str, Any]:
        """What makes this evaluation another one when it changes."""
        settings = self.assembly.settings
        voting = settings.eval.voting != "none"
        probe = SparseToDense if voting else WithVideo
        seed = {"seed": settings.seed} if settings.seed and (voting or settings.eval.changed) else {}
        prompts = {"prompts": BENCHMARK_PROMPTS_VERSION} if settings.eval.prompt in HARNESSES else {}
        return {
            "engine": described(self.engine) | {"identity": self.engine.identity},
            "probe": {"name": probe.name, "version": probe.version, **prompts},
            "eval": settings.eval.model_dump(mode="json", exclude=set() if voting else set(_VOTING)),
            "benchmarks": {one.spec: described(one.loader) for one in _benchmarks(self.assembly)},
            "limit": settings.limit,
            **seed,
        }

    def ask(self, run: _Run) -> DetectorCounts:
        """Asks what has no answer yet."""
        bound = BoundDetector(run.detector, {"model": self.engine}, self.executor, folder=run.folder)
        # The limit is checked once over all benchmarks, so that a few failures in the first do not keep the others from being asked.
        options = RunnerOptions(step="eval", max_failures=math.inf, store=self._store(), budget=self.context.budget)
        with RunProgress(self.context) as progress:
            labelled = _Labelled(progress, run.label)
            (counts,) = run_detectors(run.layout, run.rows(), [bound], options=options, on_event=self.context.tell, progress=labelled)
        return counts

    def _store(self) -> Path | None:
        return Path(self.assembly.settings.store) if self.assembly.settings.store else None

    def result(self, run: _Run, rule: SplitRule) -> dict[str, Any]:
        """The benchmark's part of the result."""
        chosen = self.assembly.settings.eval
        summary = summarise(run.answers(), rule, chosen.splits)
        aside = run.set_aside(sum(1 for _ in run.answers()))
        found = {"name": run.benchmark.spec, "frames": run.frames, **summary, **({} if aside is None else {"rows_set_aside": aside})}
        if aside:
            found["notes"] = [*found["notes"], f"{aside} rows are no questions and are in no split; {run.layout.set_aside_file} says why"]
        found["notes"] = [*found["notes"], *_nothing_to_see(run, summary)]
        if chosen.changed:
            changed = compare(run.answers(), rule, chosen.splits, chosen.changed)
            found |= {"changed": changed, "measures": measures(changed)}
            found["notes"] = [*found["notes"], *_without_another(summary, changed)]
        if chosen.voting != "none":
            voting = {"method": chosen.voting, "votes": chosen.votes, "most_frames": chosen.most_frames}
            found["voting"] = voting | {"splits": votes_taken(run.answers(), rule, chosen.splits)}
        return found

    def lmms_eval(self, model: str, runs: Sequence[_Run], directory: RunDirectory) -> list[str]:
        """Writes the results in the form of lmms-eval, one file a number of frames, and returns the files."""
        settings = self.assembly.settings
        store = self._store() or Layout(self.out).store_file
        written = []
        for frames in dict.fromkeys(run.frames for run in runs):
            asked = [
                LmmsEvalRun(run.benchmark.spec, run.detector, run.layout, run.folder, run.benchmark.loader.version)
                for run in runs
                if run.frames == frames
            ]
            facts = {"frames": frames, "limit": settings.limit, "seed": settings.seed, "eval": settings.eval.model_dump(mode="json")}
            written.append(
                write_lmms_eval(
                    self.out / "lmms-eval" / f"{frames}-frames",
                    asked,
                    model=model,
                    engine=self.engine,
                    store=store,
                    record=directory.record,
                    facts=facts,
                )
            )
        return [str(path) for path in written]


@dataclass(frozen=True)
class _Labelled:
    """Progress of the probe under the benchmark's name."""

    progress: RunProgress
    label: str

    def advance(self, detector: str, standing: Standing) -> None:
        self.progress.advance(self.label, standing)


def _nothing_to_see(run: _Run, summary: Mapping[str, Any]) -> Iterator[str]:
    """Says where not one video is there: the folder is wrong rather than the download incomplete."""
    full = summary["splits"].get(FULL)
    if full and full["missing_media"] == full["n"]:
        first = next((medium.path for question, _ in run.answers() for medium in question.media), "")
        yield f"no video is there; the first looked for is {first!r}: say where they are by --set dataset.media_root=FOLDER"


def _without_another(summary: Mapping[str, Any], changed: Mapping[str, Any]) -> Iterator[str]:
    """Says where questions have no other video to be asked with."""
    if "mismatched" in changed and FULL in summary["splits"]:
        shown = summary["splits"][FULL]["n"] - summary["missing_media"]
        asked = changed["mismatched"]["splits"].get(FULL, {"n": 0})["n"]
        if asked < shown:
            yield f"{shown - asked} of {shown} questions were not asked with another video: there is none for them"


def _notes(runs: list[_Run], shown: list[dict[str, Any]]) -> Iterator[str]:
    for run, one in zip(runs, shown, strict=True):
        yield from (f"{run.label}: {note}" for note in one["notes"])
    yield from absent_splits(shown)


def _benchmarks(assembly: Assembly) -> list[Dataset]:
    specs = assembly.settings.eval.benchmarks
    if not specs:
        raise ConfigError("no benchmark given: --benchmark NAME:PATH, such as --benchmark planted:test")
    for spec in specs:
        if specs.count(spec) > 1:
            raise ConfigError(f"the benchmark {spec!r} is given twice")
    return [assembly.dataset(spec) for spec in specs]
