"""How much of a benchmark its judges answer without watching: accuracy beside chance and trivial baselines, with intervals."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vidground_core.evaluation.statistics import Rate, difference, rate, rate_above_chance
from vidground_core.filters.base import JudgedRows
from vidground_core.records import Question, Verdict

_OUTCOMES = ("refused", "unparsed", "failed")


@dataclass(frozen=True)
class JudgeResult:
    """One line of an audit.

    `n` questions were judged (not those of which every trial failed, nor those without a verdict); `accuracy` is their share right,
    refused and unparsed trials counting as wrong, several trials of a question as their mean. `chance` is the mean of 1/options over the
    same questions, `gain` accuracy − chance, `corrected` (accuracy − chance)/(1 − chance). `answered` is the share that the judge's rule
    calls answerable without watching. `refused`, `unparsed` and `failed` are shares of all trials. `note` is for a person.
    """

    name: str
    n: int
    accuracy: Rate | None
    chance: float | None
    gain: Rate | None
    corrected: Rate | None
    answered: float | None = None
    refused: float | None = None
    unparsed: float | None = None
    failed: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object that `vg audit --json` has under `judges` and `baselines`; rates in 0..1, None where nothing was judged."""
        shares = {name: getattr(self, name) for name in ("answered", *_OUTCOMES)}
        return {
            "name": self.name,
            "n": self.n,
            "accuracy": self.accuracy.value if self.accuracy else None,
            "chance": self.chance,
            "interval": self.accuracy.interval if self.accuracy else None,
            "gain": self.gain.value if self.gain else None,
            "gain_interval": self.gain.interval if self.gain else None,
            "corrected": self.corrected.value if self.corrected else None,
            "corrected_interval": self.corrected.interval if self.corrected else None,
            **shares,
            "scores": dict(self.scores),
            "note": self.note,
        }


@dataclass(frozen=True)
class AuditResult:
    """An audit: the judges in the order met, and what needs no model at all, for comparison."""

    dataset: str
    questions: int
    judges: tuple[JudgeResult, ...]
    baselines: tuple[JudgeResult, ...]

    def as_json(self) -> dict[str, Any]:
        """The object of `vg audit --json`."""
        return {
            "dataset": self.dataset,
            "questions": self.questions,
            "judges": [judge.as_json() for judge in self.judges],
            "baselines": [baseline.as_json() for baseline in self.baselines],
        }


class _Tallied:
    """What one judge did, in arrays: a number a question, so that 10^6 questions fit."""

    def __init__(self) -> None:
        self.right, self.chances, self.groups = array("d"), array("d"), array("q")
        self.trials = self.ruled = self.answered = 0
        self.outcomes: Counter[str] = Counter()
        self.score_sums: dict[str, float] = {}
        self.score_counts: Counter[str] = Counter()

    def add(self, question: Question, group: int, verdict: Verdict) -> None:
        for tally in verdict.conditions.values():
            self.trials += tally.trials
            self.outcomes.update({name: getattr(tally, name) for name in _OUTCOMES})
        for name, score in verdict.scores.items():
            self.score_sums[name] = self.score_sums.get(name, 0.0) + score
            self.score_counts[name] += 1
        if verdict.answered is not None:
            self.ruled += 1
            self.answered += verdict.answered
        right = _right(verdict)
        if right is not None:
            self.put(right, question.chance, group)

    def put(self, right: float, chance: float, group: int) -> None:
        self.right.append(right)
        self.chances.append(chance)
        self.groups.append(group)

    def result(self, name: str, *, note: str = "") -> JudgeResult:
        outcomes = {outcome: self.outcomes[outcome] / max(1, self.trials) for outcome in _OUTCOMES}
        scores = {score: total / self.score_counts[score] for score, total in self.score_sums.items()}
        answered = self.answered / self.ruled if self.ruled else None
        if not self.right:
            return JudgeResult(name, 0, None, None, None, None, answered, **outcomes, scores=scores, note=note or "no question was judged")
        guessing = sum(self.chances) / len(self.chances)
        return JudgeResult(
            name,
            n=len(self.right),
            accuracy=rate(self.right, self.groups),
            chance=guessing,
            gain=difference(self.right, self.chances, self.groups),
            corrected=rate_above_chance(self.right, self.chances, self.groups),
            answered=answered,
            **outcomes,
            scores=scores,
            note=note,
        )


def _right(verdict: Verdict) -> float | None:
    """The share right of the trials that did not fail; of several conditions, or none, what the rule says. None: not judged."""
    tallies = [tally for tally in verdict.conditions.values() if tally.trials]
    if len(tallies) == 1:
        judged = tallies[0].trials - tallies[0].failed
        return tallies[0].correct / judged if judged else None
    return None if verdict.answered is None else float(verdict.answered)


def audit(judged: JudgedRows, dataset: str) -> AuditResult:
    """One pass over questions with their verdicts by detector name. `dataset` is the name shown."""
    judges: dict[str, _Tallied] = {}
    groups: dict[str, int] = {}
    baselines = _Baselines()
    questions = 0
    for question, verdicts in judged():
        questions += 1
        group = groups.setdefault(question.group or question.id, len(groups))
        baselines.add(question, group)
        for name, verdict in verdicts.items():
            judges.setdefault(name, _Tallied()).add(question, group, verdict)
    results = tuple(tallied.result(name) for name, tallied in judges.items())
    return AuditResult(dataset, questions, results, baselines.results())


class _Baselines:
    """The best fixed position, chosen with the answers at hand, and the longest and the shortest option, ties broken by lot."""

    def __init__(self) -> None:
        self.gold = array("q")
        self.longest, self.shortest = _Tallied(), _Tallied()

    def add(self, question: Question, group: int) -> None:
        if question.gold is None:
            return
        lengths = [len(option) for option in question.options]
        self.gold.append(question.gold)
        self.longest.put(_lot(lengths, question.gold, max(lengths)), question.chance, group)
        self.shortest.put(_lot(lengths, question.gold, min(lengths)), question.chance, group)

    def results(self) -> tuple[JudgeResult, ...]:
        if not self.gold:
            return ()
        best = min(Counter(self.gold).items(), key=lambda found: (-found[1], found[0]))[0]
        position = _Tallied()
        for gold, chance, group in zip(self.gold, self.longest.chances, self.longest.groups, strict=True):
            position.put(float(gold == best), chance, group)
        return (
            position.result("position", note=f"always option {best + 1}, the best one in hindsight"),
            self.longest.result("longest", note="the longest option, ties broken by lot"),
            self.shortest.result("shortest", note="the shortest option, ties broken by lot"),
        )


def _lot(lengths: Sequence[int], gold: int, picked: int) -> float:
    """The chance that the gold is drawn from the options of the picked length."""
    return 1 / lengths.count(picked) if lengths[gold] == picked else 0.0
