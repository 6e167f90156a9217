"""What judges said of all questions, in arrays: a few numbers a question and judge, so that 10^6 questions fit."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vidground_core.records import Question, Verdict

OUTCOMES = ("refused", "unparsed", "failed")
_NONE = float("nan")
_UNDECIDED = -1

Floats = NDArray[np.float64]


class Column:
    """One judge, one entry a question.

    `right` is the share of trials that are right (NaN: not judged), `tried` the share that gave an answer at all, `answered` the rule's yes
    (1) or no (0) (-1: none), `shortcut` the detector's score (NaN: none).
    """

    def __init__(self) -> None:
        self._right, self._tried, self._shortcut = array("d"), array("d"), array("d")
        self._answered = array("b")
        self.trials = 0
        self.outcomes: Counter[str] = Counter()
        self._score_sums: dict[str, float] = {}
        self._score_counts: Counter[str] = Counter()

    def add(self, at: int, verdict: Verdict) -> None:
        """The verdict on question number `at`, counted from 0; those left out before it were not judged."""
        for tally in verdict.conditions.values():
            self.trials += tally.trials
            for outcome in OUTCOMES:
                self.outcomes[outcome] += getattr(tally, outcome)
        for name, score in verdict.scores.items():
            self._score_sums[name] = self._score_sums.get(name, 0.0) + score
            self._score_counts[name] += 1
        self.put(at, *_right_and_tried(verdict), answered=verdict.answered, shortcut=verdict.shortcut)

    def put(self, at: int, right: float | None, tried: float = 1.0, *, answered: bool | None = None, shortcut: float | None = None) -> None:
        """The same from its numbers."""
        if at > len(self._right):
            self._fill(at)
        self._right.append(_NONE if right is None else right)
        self._tried.append(tried)
        self._answered.append(_UNDECIDED if answered is None else int(answered))
        self._shortcut.append(_NONE if shortcut is None else shortcut)

    def _fill(self, length: int) -> None:
        missing = length - len(self._right)
        self._right.extend([_NONE] * missing)
        self._tried.extend([0.0] * missing)
        self._answered.extend([_UNDECIDED] * missing)
        self._shortcut.extend([_NONE] * missing)

    def close(self, questions: int) -> Column:
        """Call once all questions have passed; the arrays below are as long as there are questions."""
        self._fill(questions)
        return self

    @property
    def right(self) -> Floats:
        """Shares right, NaN where not judged."""
        return np.array(self._right, dtype=np.float64)

    @property
    def tried(self) -> Floats:
        """Shares of trials that gave an answer."""
        return np.array(self._tried, dtype=np.float64)

    @property
    def shortcut(self) -> Floats:
        """Scores, NaN where there is none."""
        return np.array(self._shortcut, dtype=np.float64)

    @property
    def answered(self) -> NDArray[np.int8]:
        """1, 0, and -1 where the rule says neither."""
        return np.array(self._answered, dtype=np.int8)

    @property
    def answered_share(self) -> float | None:
        """The share of yes among yes and no."""
        decided = self.answered[self.answered >= 0]
        return float(decided.mean()) if len(decided) else None

    @property
    def outcome_shares(self) -> dict[str, float]:
        """Refused, unparsed and failed as shares of all trials."""
        return {outcome: self.outcomes[outcome] / max(1, self.trials) for outcome in OUTCOMES}

    @property
    def mean_scores(self) -> dict[str, float]:
        """The mean of each of the detector's scores."""
        return {score: total / self._score_counts[score] for score, total in self._score_sums.items()}


def _right_and_tried(verdict: Verdict) -> tuple[float | None, float]:
    """Shares of the trials that did not fail; of several conditions, or none, what the rule says. None: not judged."""
    tallies = [tally for tally in verdict.conditions.values() if tally.trials]
    if len(tallies) != 1:
        return (None, 0.0) if verdict.answered is None else (float(verdict.answered), 1.0)
    judged = tallies[0].trials - tallies[0].failed
    if not judged:
        return None, 0.0
    return tallies[0].correct / judged, (judged - tallies[0].refused - tallies[0].unparsed) / judged


class Columns:
    """All judges of an audit, and what needs no model: position, longest and shortest option."""

    def __init__(self) -> None:
        self.judges: dict[str, Column] = {}
        self.longest, self.shortest = Column(), Column()
        self.questions = 0
        self._gold, self._chances, self._groups = array("i"), array("d"), array("q")
        self._group_numbers: dict[str, int] = {}

    def add(self, question: Question, verdicts: Mapping[str, Verdict]) -> None:
        """A question with its verdicts by judge."""
        self._groups.append(self._group_numbers.setdefault(question.group or question.id, len(self._group_numbers)))
        self._chances.append(question.chance)
        gold = question.gold
        self._gold.append(-1 if gold is None else gold)
        if gold is not None:
            lengths = [len(option) for option in question.options]
            self.longest.put(self.questions, _by_lot(lengths, gold, max(lengths)))
            self.shortest.put(self.questions, _by_lot(lengths, gold, min(lengths)))
        for name, verdict in verdicts.items():
            self.judges.setdefault(name, Column()).add(self.questions, verdict)
        self.questions += 1

    def close(self) -> Columns:
        """Call once all questions have passed."""
        for column in (*self.judges.values(), self.longest, self.shortest):
            column.close(self.questions)
        return self

    @property
    def chances(self) -> Floats:
        """1/options, a question."""
        return np.array(self._chances, dtype=np.float64)

    @property
    def groups(self) -> NDArray[np.int64]:
        """The video's number, a question."""
        return np.array(self._groups, dtype=np.int64)

    def best_position(self) -> tuple[int, Column] | None:
        """The place of the right option that is most frequent, chosen in hindsight, as a judge; None without multiple choice."""
        places = Counter(gold for gold in self._gold if gold >= 0)
        if not places:
            return None
        best = min(places.items(), key=lambda found: (-found[1], found[0]))[0]
        column = Column()
        for at, gold in enumerate(self._gold):
            if gold >= 0:
                column.put(at, float(gold == best))
        return best, column.close(self.questions)


def _by_lot(lengths: Sequence[int], gold: int, picked: int) -> float:
    """The chance that the gold is drawn from the options of the picked length."""
    return 1 / lengths.count(picked) if lengths[gold] == picked else 0.0
