"""Accuracy of checkpoints per split, as `vg eval` measured it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vidground_core.errors import RunDirectoryError
from vidground_core.runs.directory import read_record

from .data import BenchmarkReport, Estimate, Measure, SplitScore

_SPLITS = ("vg", "ta", "conflict", "full")
_OUTCOMES = ("refused", "unparsed", "failed")


def benchmark_reports(evals: Mapping[str, Path]) -> tuple[BenchmarkReport, ...]:
    """One report a benchmark and number of frames over all checkpoints. Raises RunDirectoryError on a results.json of another shape."""
    found: dict[tuple[str, int | None], dict[str, Mapping[str, Any]]] = {}
    for checkpoint, folder in evals.items():
        for benchmark in _results(folder):
            key = (str(benchmark["name"]), benchmark.get("frames"))
            found.setdefault(key, {})[checkpoint] = benchmark
    return tuple(_report(name, frames, by_checkpoint) for (name, frames), by_checkpoint in found.items())


def _results(folder: Path) -> list[Mapping[str, Any]]:
    path = folder / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else read_record(folder).get("result") or {}
        benchmarks = list(results.get("benchmarks", ()))
        for benchmark in benchmarks:
            _split_scores("", benchmark)
            list(_measures("", benchmark))
            str(benchmark["name"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunDirectoryError(f"{path}: not the result of vg eval: {type(error).__name__}: {error}; run vg eval again") from error
    return benchmarks


def _split_scores(checkpoint: str, benchmark: Mapping[str, Any]) -> list[SplitScore]:
    return [
        _split_score(checkpoint, split, score)
        for split, score in benchmark["splits"].items()
        if score.get("n") and score.get("accuracy") is not None
    ]


def _split_score(checkpoint: str, split: str, score: Mapping[str, Any]) -> SplitScore:
    correct, accuracy = score["correct"], Estimate(score["accuracy"], *_interval(score), score["n"])
    missing = int(score.get("missing_media") or 0)
    found = score.get("with_media") or {}
    seen = None if found.get("accuracy") is None else Estimate(found["accuracy"], *_interval(found), found["n"])
    no_answer = None if missing == accuracy.n else _no_answer(score)
    return SplitScore(checkpoint, split, correct, accuracy, no_answer, missing, seen if missing else accuracy)


def _measures(checkpoint: str, benchmark: Mapping[str, Any]) -> Iterator[Measure]:
    """What the right video gains over a changed one, and voting over its first round."""
    for condition, found in (benchmark.get("changed") or {}).items():
        for split, row in found["splits"].items():
            note = f"{100 * row['ordered']:.1f}% as it is, {100 * row['accuracy']:.1f}% {condition}"
            gain = Estimate(row["gain"], *_interval(row), row["n"])
            yield Measure(checkpoint, str(found["measures"]).replace("_", " "), split, gain, note)
    for split, row in ((benchmark.get("voting") or {}).get("splits") or {}).items():
        note = f"{row['mean_frames']:.1f} frames and {row['mean_replies']:.1f} replies a question, {100 * row['unanimous']:.0f}% unanimous"
        gain = Estimate(row["gain"]["value"], *_interval(row["gain"]), row["n"])
        yield Measure(checkpoint, "voting over its first frames", split, gain, note)


def _no_answer(score: Mapping[str, Any]) -> float:
    return float(sum(score.get(outcome) or 0 for outcome in _OUTCOMES))


def _interval(score: Mapping[str, Any]) -> tuple[float, float]:
    low, high = score["interval"]
    return float(low), float(high)


def _report(name: str, frames: int | None, by_checkpoint: Mapping[str, Mapping[str, Any]]) -> BenchmarkReport:
    scores = [score for checkpoint, benchmark in by_checkpoint.items() for score in _split_scores(checkpoint, benchmark)]
    return BenchmarkReport(
        name=name,
        frames=frames,
        splits=_shown_splits(scores),
        checkpoints=tuple(by_checkpoint),
        scores=tuple(scores),
        missing_media={checkpoint: _missing(benchmark) for checkpoint, benchmark in by_checkpoint.items() if _missing(benchmark)},
        measures=tuple(found for checkpoint, benchmark in by_checkpoint.items() for found in _measures(checkpoint, benchmark)),
        notes=tuple(dict.fromkeys(str(note) for benchmark in by_checkpoint.values() for note in benchmark.get("notes") or ())),
    )


def _missing(benchmark: Mapping[str, Any]) -> int:
    missing = benchmark.get("missing_media") or 0
    return len(missing) if isinstance(missing, list) else int(missing)


def _shown_splits(scores: Iterable[SplitScore]) -> tuple[str, ...]:
    """VG, TA, conflict, full, then others; full is left out where one other split is all of it."""
    sizes = {score.split: score.accuracy.n for score in scores}
    names = sorted(sizes, key=lambda name: (_SPLITS.index(name) if name in _SPLITS else len(_SPLITS), name))
    if len(names) == 2 and "full" in names and len(set(sizes.values())) == 1:
        names.remove("full")
    return tuple(names)
