"""Training curves of an ablation: for each arm the mean over its runs, and the lowest and highest of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .ablation import Band, BandReport
from .jsonl import read_objects
from .training import METRICS, WITHOUT_REWARD

POINTS = 40
_KEY = re.compile(r"(?P<arm>.+)-(?P<prompts>\d+)p-s\d+(?:-d\d+)?")

Series = dict[str, list[tuple[float, float]]]


def band_reports(root: Path, uses: Mapping[tuple[str, str], Sequence[str]]) -> tuple[BandReport, ...]:
    """The known metrics of all arms.

    `uses` names the runs of each arm under each budget; those of an arm without a finished run are grouped by their names.
    """
    folder = root / "train"
    keys = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    groups = {use: [key for key in runs if key in keys] for use, runs in _with_unused(keys, uses).items()}
    series = {key: _series(folder / key / "metrics.jsonl") for key in keys}
    axis = "prompts" if any("prompts" in found for found in series.values()) else "step"
    reports: list[BandReport] = []
    for metric, (title, meaning) in METRICS.items():
        bands = [
            band
            for (arm, budget), runs in groups.items()
            if (band := _band(arm, budget, [series[key].get(metric, []) for key in runs])) is not None
        ]
        if bands and title not in {report.title for report in reports}:
            reports.append(BandReport(metric, title, meaning, axis, tuple(bands)))
    rewarded = {report.metric for report in reports} >= {"reward"}
    return tuple(report for report in reports if not (rewarded and report.metric in WITHOUT_REWARD))


def _with_unused(keys: Sequence[str], uses: Mapping[tuple[str, str], Sequence[str]]) -> dict[tuple[str, str], list[str]]:
    groups = {use: list(runs) for use, runs in uses.items()}
    known = {arm for arm, _ in uses}
    for key in keys:
        found = _KEY.fullmatch(key)
        if found and found["arm"] not in known:
            groups.setdefault((found["arm"], f"{int(found['prompts']):,} prompts"), []).append(key)
    return groups


def _series(path: Path) -> Series:
    """(prompts, or steps where they are not logged, and value) of each metric; "prompts" is there where they are."""
    series: Series = {}
    for row in read_objects(path):
        at = row.get("prompts", row.get("step"))
        if not isinstance(at, int | float):
            continue
        if "prompts" in row:
            series["prompts"] = []
        for metric in METRICS:
            value = row.get(metric)
            if isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(metric, []).append((float(at), float(value)))
    return series


def _band(arm: str, budget: str, runs: Sequence[Sequence[tuple[float, float]]]) -> Band | None:
    """The mean of the runs over equal stretches of training, each of which ends where a point stands; None below two points."""
    logged = [run for run in runs if len(run) > 1]
    if not logged:
        return None
    end = max(run[-1][0] for run in logged)
    stretches = min(POINTS, max(len(run) for run in logged))
    points = []
    for index in range(stretches):
        low, high = end * index / stretches, end * (index + 1) / stretches
        means = [mean for run in logged if (mean := _mean([value for at, value in run if low < at <= high])) is not None]
        if means:
            points.append((high, sum(means) / len(means), min(means), max(means)))
    tenth = max(1, len(points) // 10)
    first, last = (sum(point[1] for point in part) / len(part) for part in (points[:tenth], points[-tenth:]))
    return Band(arm, budget, len(logged), tuple(points), first, last)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
