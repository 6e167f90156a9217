"""Training curves from metrics.jsonl, one JSON object a logging step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from .data import Curve, TrainingReport
from .jsonl import read_objects

POINTS = 120

# metric in metrics.jsonl: (title, what a reader should know of it); in the order shown
METRICS: Mapping[str, tuple[str, str]] = {
    "reward": ("Reward", "Mean reward of the rollouts. With an accuracy reward alone it is the share of rollouts that are right."),
    "frac_reward_zero_std": (
        "Groups without signal",
        "Share of the groups whose rollouts all got the same reward: their advantage is zero, so they teach nothing.",
    ),
    "entropy": ("Entropy", "Mean entropy of the policy's next token, in nats; near zero the rollouts of a group are all alike."),
    "kl": ("KL to the reference", "Mean divergence from the start checkpoint, in nats a token."),
    "completions/mean_length": ("Completion length", "Mean tokens of a completion."),
    "completion_length": ("Completion length", "Mean tokens of a completion."),
    "loss": ("Loss", "The training loss."),
}
WITHOUT_REWARD = ("loss",)  # the loss of a policy gradient is near zero by construction and says nothing


def training_reports(arms: Mapping[str, Path]) -> tuple[TrainingReport, ...]:
    """The known metrics of all arms that have them; an arm without metrics.jsonl is left out, and the loss where there is a reward."""
    series = {arm: _series(folder / "metrics.jsonl") for arm, folder in arms.items()}
    reports: list[TrainingReport] = []
    for metric, (title, meaning) in METRICS.items():
        curves = tuple(_curve(arm, found[metric]) for arm, found in series.items() if len(found.get(metric, ())) > 1)
        if curves and title not in {report.title for report in reports}:
            reports.append(TrainingReport(metric, title, meaning, curves))
    rewarded = any(report.metric == "reward" for report in reports)
    return tuple(report for report in reports if not (rewarded and report.metric in WITHOUT_REWARD))


def _series(path: Path) -> dict[str, list[tuple[float, float]]]:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in read_objects(path):
        step = row.get("step")
        for metric in METRICS:
            value = row.get(metric)
            if isinstance(step, int | float) and isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(metric, []).append((float(step), float(value)))
    return series


def _curve(arm: str, points: list[tuple[float, float]]) -> Curve:
    tenth = max(1, len(points) // 10)
    width = math.ceil(len(points) / POINTS)
    chunks = [points[start : start + width] for start in range(0, len(points), width)]
    thinned = tuple((chunk[-1][0], _mean(chunk)) for chunk in chunks)
    return Curve(arm, thinned, first=_mean(points[:tenth]), last=_mean(points[-tenth:]))


def _mean(points: list[tuple[float, float]]) -> float:
    return sum(value for _, value in points) / len(points)
