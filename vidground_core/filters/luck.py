"""How many grounded questions a filter probably dropped only because the judge guessed right."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache

from vidground_core.filters.base import ExpectedErrors
from vidground_core.records import Decision, Question, Verdict

_AT_LEAST = re.compile(r"at least (\d+)")
_MEAN = re.compile(r"mean > ([\d.]+)")


class LuckEstimate:
    """Streams over decisions and estimates the false drops of a filter that follows one judge's right and wrong answers.

    A judge that does not know the answer to a question with K options is right in each of n trials with probability 1/K, so it calls the
    question answered with probability g = P(Binomial(n, 1/K) >= m) and not answered with 1 - g. Each kept question that it did not
    answer therefore stands for g / (1 - g) lucky drops: the moment estimate of a one-component mixture, exact in expectation where
    every question that the judge does not know is guessed, and an upper bound where some of them are answered wrongly by conviction
    in place of a guess. For one trial it is 1 / (K - 1). Trials are taken as independent.

    There is no estimate (None) for the mean of P(gold), which is no count of right answers, for thresholds of the filter's own, and where
    several judges were combined. False keeps need a model of the questions that the judge does know; they are not estimated here.
    """

    def __init__(self) -> None:
        self._sum = 0.0
        self._rows = 0
        self._obstacle = ""

    def add(self, question: Question, verdicts: Mapping[str, Verdict], decision: Decision) -> None:
        """Takes one row into account."""
        self._rows += 1
        used = [verdicts[name] for name in decision.numbers if name in verdicts]
        if len(used) > 1:
            self._obstacle = "several judges were combined"
        for verdict in used[:1]:
            needed = right_answers_needed(verdict)
            if needed is None:
                self._obstacle = f"the rule {verdict.rule!r} of {verdict.detector} does not count right answers"
            elif verdict.answered is decision.kept:
                self._obstacle = f"the policy does not follow what {verdict.detector} says"
            elif decision.kept and verdict.answered is False:
                trials, least = needed
                lucky = chance_of(least, trials, question.chance)
                self._sum += lucky / (1 - lucky) if lucky < 1 else 0.0

    def result(self) -> ExpectedErrors:
        """The estimate over all rows added, with what it rests on in words."""
        if not self._rows:
            return ExpectedErrors(note="there are no questions")
        if self._obstacle:
            return ExpectedErrors(note=f"not estimated: {self._obstacle}")
        return ExpectedErrors(self._sum, None, "as if every question that the judge does not know were guessed; false keeps not estimated")


@lru_cache(maxsize=4096)
def chance_of(least: int, trials: int, share: float) -> float:
    """P(Binomial(trials, share) >= least)."""
    return math.fsum(math.comb(trials, right) * share**right * (1 - share) ** (trials - right) for right in range(least, trials + 1))


def right_answers_needed(verdict: Verdict) -> tuple[int, int] | None:
    """(trials, least number of right ones that makes the verdict "answered"); None where the rule does not count right answers."""
    tally = next(iter(verdict.conditions.values()), None)
    if tally is None or len(verdict.conditions) != 1 or tally.trials < 1:
        return None
    trials = tally.trials - tally.failed - tally.refused - tally.unparsed
    if trials < 1:
        return None
    if verdict.rule in ("all", "any"):
        return trials, trials if verdict.rule == "all" else 1
    counted = _AT_LEAST.fullmatch(verdict.rule)
    if counted:
        return trials, min(int(counted.group(1)), trials)
    mean = _MEAN.fullmatch(verdict.rule)
    if mean and tally.p_gold is None:
        return trials, min(int(float(mean.group(1)) * trials) + 1, trials)
    return (1, 1) if verdict.rule == "held-out argmax" else None
