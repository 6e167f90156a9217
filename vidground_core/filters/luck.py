"""How many grounded questions a filter probably dropped only because the judges were right by luck.

A question is TA where at least `least` judges know its answer. What each judge knows, and how it is right by luck, comes from `guessing`;
the shares of the 2^J patterns of who knows what are fitted by EM with that held, so that judges may know the same questions (κ is 0.36 to
0.56 in arXiv 2604.05117). What judges do not know they are taken to get right or wrong independently of each other: convictions that they
share count as known, and the number of lucky drops of several judges is then too low.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidground_core.evaluation.mixture import Mixture
from vidground_core.filters.base import ExpectedErrors, Judges
from vidground_core.filters.guessing import NO_CHOICE, Judge, fit_judge
from vidground_core.records import Question, Verdict

Floats = NDArray[np.float64]
MOST_JUDGES = 8
_WATCHED = "ordered"
_MEAN = re.compile(r"mean > ([\d.]+)")
_TOLERANCE = 1e-10
_MOST_ROUNDS = 5_000


class Counts:
    """Right answers and trials of each judge, a few bytes a question; fed with every row once."""

    def __init__(self) -> None:
        self.options: array[int] = array("i")
        self._right: dict[str, array[int]] = {}
        self._trials: dict[str, array[int]] = {}
        self.unfit: dict[str, str] = {}

    def add(self, question: Question, verdicts: Mapping[str, Verdict]) -> None:
        """Takes one question into account."""
        before = len(self.options)
        self.options.append(len(question.options))
        for name in verdicts:
            if name not in self._right:
                self._right[name], self._trials[name] = array("i", bytes(4 * before)), array("i", bytes(4 * before))
        for name, column in self._right.items():
            right, trials = self._counted(name, verdicts.get(name))
            column.append(right)
            self._trials[name].append(trials)

    def _counted(self, name: str, verdict: Verdict | None) -> tuple[int, int]:
        tallies = {condition: tally for condition, tally in verdict.conditions.items() if tally.trials} if verdict else {}
        if len(tallies) > 1:
            self.unfit[name] = "compares several conditions"
        elif _WATCHED in tallies:
            self.unfit[name] = "was shown the video"
        if len(tallies) != 1 or name in self.unfit:
            return 0, 0
        tally = next(iter(tallies.values()))
        settled = _settled(verdict) if verdict else None
        if settled is not None:
            return settled
        trials = max(0, tally.trials - tally.failed - tally.refused - tally.unparsed)
        return min(tally.correct, trials), trials

    @property
    def judges(self) -> tuple[str, ...]:
        """The judges that answered at least once in a way that can be counted."""
        return tuple(name for name in sorted(self._right) if name not in self.unfit and any(self._trials[name]))

    @property
    def detectors(self) -> tuple[str, ...]:
        """All detectors that had a verdict."""
        return tuple(sorted(self._right))

    def of(self, judge: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Right answers and trials (or NO_CHOICE) of a judge, shape (questions,) each."""
        return np.frombuffer(self._right[judge], dtype=np.int32), np.frombuffer(self._trials[judge], dtype=np.int32)


def _settled(verdict: Verdict) -> tuple[int, int] | None:
    """A probability over the options as one trial: right or wrong where it is sure of an option by its rule's threshold, else no choice."""
    mean = _MEAN.fullmatch(verdict.rule)
    if mean is None or not {"p_gold", "margin"} <= verdict.scores.keys():
        return None
    gold, least = verdict.scores["p_gold"], float(mean.group(1))
    if gold > least:
        return 1, 1
    return (0, 1) if gold - verdict.scores["margin"] > least else (0, NO_CHOICE)


@dataclass(frozen=True)
class Knowledge:
    """P(TA) of every question, shape (questions,), and in `note` what it rests on."""

    posteriors: Floats
    note: str

    def errors(self, dropped: NDArray[np.bool_], kept: NDArray[np.bool_]) -> ExpectedErrors:
        """VG questions expected among the `dropped` and TA questions expected among the `kept`."""
        return ExpectedErrors(float((1 - self.posteriors[dropped]).sum()), float(self.posteriors[kept].sum()), self.note)

    def threshold(self, rate: float) -> float:
        """The least P(TA) to drop at so that at most this share of the VG questions is expected to go; inf where none does."""
        return Mixture(0, 0, True, True, 0, 0, self.posteriors).threshold(rate)


def knowledge(counts: Counts, judges: Judges) -> Knowledge | str:
    """P(TA) of the questions counted, or why it cannot be told."""
    countable = [name for name in judges.detectors if name in counts.judges]
    strange = [f"{name} {counts.unfit.get(name, 'counts no right answers')}" for name in judges.detectors if name not in countable]
    if not countable:
        return f"no judge's right answers can be counted ({'; '.join(strange) or 'there are no verdicts'})"
    if len(countable) > MOST_JUDGES:
        return f"{len(countable)} judges are more than the {MOST_JUDGES} that can be told apart; name fewer"
    if judges.least > 1 and strange:
        return f"at least {judges.least} judges must know a question, but {'; '.join(strange)}"
    options = np.frombuffer(counts.options, dtype=np.int32)
    if not (options != 1).any():
        return "every question has a single option"
    fits = {name: fit for name in countable if (fit := fit_judge(*counts.of(name), options)) is not None}
    knowing = [(name, fit) for name, fit in fits.items() if fit.known > 0]
    if len(knowing) < judges.least:
        found = (options == 1).astype(np.float64)
    else:
        found = _patterns([(*counts.of(name), fit) for name, fit in knowing], options, judges.least)
    return Knowledge(found, _note(fits, judges, strange))


def _note(fits: Mapping[str, Judge], judges: Judges, strange: Sequence[str]) -> str:
    told = ", ".join(
        f"{name} knows {100 * fit.known:.0f}% (right {100 * fit.q:.0f}%{'' if fit.identified else ' assumed'}"
        f"{f', unsure of {100 * (1 - fit.chooses):.0f}% of the rest' if fit.chooses < 1 else ''}"
        f"{f', convinced of {100 * fit.convinced:.0f}% of the rest' if fit.convinced else ''})"
        if fit.known > 0
        else f"{name} is no better than guessing"
        for name, fit in fits.items()
    )
    need = f"; VG is what fewer than {judges.least} of them know" if judges.least > 1 else ""
    left_out = f"; left out: {'; '.join(strange)}" if strange else ""
    return f"mixture of knowing and guessing: {told}{need}{left_out}"


def _patterns(judged: Sequence[tuple[NDArray[np.int32], NDArray[np.int32], Judge]], options: NDArray[np.int32], least: int) -> Floats:
    """P(at least `least` judges know), shape (questions,): EM over the shares of who knows what, which has one maximum."""
    table = np.stack([options, *(column for right, trials, _ in judged for column in (right, trials))], axis=1)
    cells, place, weights = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    patterns = (np.arange(2 ** len(judged))[:, None] >> np.arange(len(judged))) & 1
    likelihood = np.ones((len(cells), len(patterns)))
    for number, (_, _, judge) in enumerate(judged):
        known, unknown = judge.likelihoods(cells[:, 1 + 2 * number], cells[:, 2 + 2 * number], cells[:, 0])
        likelihood *= np.where(patterns[:, number] == 1, known[:, None], unknown[:, None])
    enough = patterns.sum(axis=1) >= least
    told = (likelihood.sum(axis=1) > 0) & (cells[:, 0] != 1)
    known_by_enough = np.ones(len(cells))  # one option only, or right answers that no guess gives
    known_by_enough[told] = _fitted(likelihood[told], weights[told].astype(np.float64))[:, enough].sum(axis=1)
    posteriors: Floats = known_by_enough[place.reshape(-1)]
    return posteriors


def _fitted(likelihood: Floats, weights: Floats) -> Floats:
    shares = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    before = -np.inf
    for _ in range(_MOST_ROUNDS):
        joint = likelihood * shares
        total = joint.sum(axis=1)
        shares = weights @ (joint / total[:, None]) / weights.sum()
        now = float(weights @ np.log(total))
        if now - before <= _TOLERANCE * weights.sum():
            break
        before = now
    joint = likelihood * shares
    members: Floats = joint / joint.sum(axis=1, keepdims=True)
    return members
