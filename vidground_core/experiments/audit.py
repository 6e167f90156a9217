"""How much of a benchmark its judges answer without watching: accuracy beside chance and trivial baselines, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidground_core.evaluation.statistics import Rate
from vidground_core.experiments.audit_agreement import Pair, answered_by, pairs, with_interval
from vidground_core.experiments.audit_columns import Column, Columns, Floats
from vidground_core.experiments.audit_rates import above_chance, rate_of, resamples_for
from vidground_core.filters.base import JudgedRows

_ESTIMATES = 4


@dataclass(frozen=True)
class JudgeResult:
    """One line of an audit.

    `n` questions were judged (not those of which every trial failed, nor those without a verdict); `accuracy` is their share right,
    refused and unparsed trials counting as not right, several trials of a question as their mean. `chance` is the mean of 1/options over
    the same questions, `gain` accuracy − chance, `corrected` (accuracy − chance)/(1 − chance). `attempted` and `attempted_gain` are
    accuracy and gain over the trials that gave an answer. `answered` is the share that the judge's rule calls answerable without watching.
    `refused`, `unparsed` and `failed` are shares of all trials. `note` and `reading` are for a person.
    """

    name: str
    n: int
    accuracy: Rate | None
    chance: float | None
    gain: Rate | None
    corrected: Rate | None
    attempted: Rate | None = None
    attempted_gain: Rate | None = None
    answered: float | None = None
    refused: float | None = None
    unparsed: float | None = None
    failed: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def reading(self) -> str:
        """What the gain says: "above chance", "below chance" or "like chance", the interval decides; empty where nothing was judged."""
        return _reading(self.gain)

    def as_json(self) -> dict[str, Any]:
        """The object that `vg audit --json` has under `judges` and `baselines`; rates in 0..1, None where nothing was judged."""
        return {
            "name": self.name,
            "n": self.n,
            "accuracy": self.accuracy.value if self.accuracy else None,
            "chance": self.chance,
            "interval": self.accuracy.interval if self.accuracy else None,
            **with_interval("gain", self.gain),
            **with_interval("corrected", self.corrected),
            **with_interval("attempted", self.attempted),
            **with_interval("attempted_gain", self.attempted_gain),
            "answered": self.answered,
            "refused": self.refused,
            "unparsed": self.unparsed,
            "failed": self.failed,
            "scores": dict(self.scores),
            "reading": self.reading,
            "explanation": explanation(self),
            "note": self.note,
        }


def _reading(gain: Rate | None) -> str:
    if gain is None:
        return ""
    return "above chance" if gain.low > 0 else "below chance" if gain.high < 0 else "like chance"


def explanation(judge: JudgeResult) -> str:
    """A sentence on a negative gain, which is easily misread; empty otherwise."""
    if judge.gain is None or judge.gain.value >= 0:
        return ""
    if judge.reading == "like chance":
        return f"{-100 * judge.gain.value:.1f} points below chance, which its interval does not tell from chance"
    if _reading(judge.attempted_gain) != "below chance":
        silent = (judge.refused or 0.0) + (judge.unparsed or 0.0)
        return (
            f"below chance only because {100 * silent:.1f}% of the trials gave no answer: "
            "they count as not right, and are no sign that the video is needed"
        )
    learner = judge.name.startswith("question-only")
    return (
        "below chance: the text points to wrong options, as in a set balanced by videos with other answers to the same question; "
        "a prior that misleads, not one that is absent"
        + (f"; --set {judge.name.split()[0]}.sibling_folds=true holds such questions out together" if learner else "")
    )


@dataclass(frozen=True)
class AuditResult:
    """An audit: the judges in the order met, what needs no model at all for comparison, and the judges in pairs.

    `chance` is the mean of 1/options over all questions, open-ended ones counting 0; None where there is no question.
    """

    dataset: str
    questions: int
    chance: float | None
    judges: tuple[JudgeResult, ...]
    baselines: tuple[JudgeResult, ...]
    agreement: tuple[Pair, ...] = ()
    answered_by: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object of `vg audit --json`."""
        return {
            "dataset": self.dataset,
            "questions": self.questions,
            "chance": self.chance,
            "judges": [judge.as_json() for judge in self.judges],
            "baselines": [baseline.as_json() for baseline in self.baselines],
            "agreement": [pair.as_json() for pair in self.agreement],
            "answered_by": dict(self.answered_by),
        }


def audit(judged: JudgedRows, dataset: str) -> AuditResult:
    """One pass over questions with their verdicts by detector name. `dataset` is the name shown."""
    columns = Columns()
    for question, verdicts in judged():
        columns.add(question, verdicts)
    columns.close()
    judges = tuple(_judge(name, column, columns) for name, column in columns.judges.items())
    chance = float(columns.chances.mean()) if columns.questions else None
    return AuditResult(dataset, columns.questions, chance, judges, _baselines(columns), pairs(columns), answered_by(columns.judges))


def _judge(name: str, column: Column, columns: Columns, *, note: str = "") -> JudgeResult:
    common: dict[str, Any] = {"answered": column.answered_share, **column.outcome_shares, "scores": column.mean_scores}
    judged = ~np.isnan(column.right)
    if not judged.any():
        return JudgeResult(name, 0, None, None, None, None, **common, note=note or "no question was judged")
    right, tried, chances = column.right[judged], column.tried[judged], columns.chances[judged]
    groups = columns.groups[judged].tolist()
    resamples = resamples_for(len(set(groups)), estimates=_ESTIMATES)
    found = above_chance(right, chances, groups, resamples=resamples)
    return JudgeResult(
        name,
        n=len(right),
        accuracy=found.accuracy,
        chance=float(chances.mean()),
        gain=found.gain,
        corrected=found.corrected,
        attempted=_attempted(right, tried, found.accuracy, groups, resamples),
        attempted_gain=_attempted(right - chances * tried, tried, found.gain, groups, resamples),
        **common,
        note=note,
    )


def _attempted(part: Floats, tried: Floats, same: Rate, groups: list[int], resamples: int) -> Rate | None:
    """A rate over the trials with an answer; where every trial has one, the rate that there is."""
    return same if tried.min() == 1.0 else rate_of(part, tried, groups, resamples=resamples)


def _baselines(columns: Columns) -> tuple[JudgeResult, ...]:
    """The best fixed position, chosen with the answers at hand, and the longest and the shortest option, ties broken by lot."""
    position = columns.best_position()
    if position is None:
        return ()
    best, column = position
    return (
        _judge("position", column, columns, note=f"always option {best + 1}, the best one in hindsight"),
        _judge("longest", columns.longest, columns, note="the longest option, ties broken by lot"),
        _judge("shortest", columns.shortest, columns, note="the shortest option, ties broken by lot"),
    )
