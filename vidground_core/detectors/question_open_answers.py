"""Open-ended questions by classification into frequent answers, cross-validated, beside the most frequent answer by opening words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vidground_core.detectors.base import Stages
from vidground_core.detectors.question_classifier import UNSCORED, Fitting, grouped_folds
from vidground_core.detectors.question_features import tfidf, words
from vidground_core.evaluation.answers import plain

# Weights are terms × answers: at these most, 8 MB a copy, and L-BFGS keeps about twenty.
_MOST_TERMS = 10_000
_MOST_STEPS = 200
_TOLERANCE = 1e-2
_OTHER = ""
# Texts of a few words against the pairs of the linear model: less penalty.
_C_SCALE = 4.0


@dataclass(frozen=True)
class HeldOutAnswers:
    """Predictions by models that never saw the row's group.

    `chosen[i]` is the most probable of the frequent answers ("" where the taught rows have none), `probability[i]` its probability,
    `p_gold[i]` that of the gold answer (0 outside the frequent ones), `by_opening[i]` what is most frequent after the question's first
    words. `fold[i]` is UNSCORED where no other group has such a question.
    """

    fold: NDArray[np.int8]
    chosen: list[str]
    probability: NDArray[np.float64]
    p_gold: NDArray[np.float64]
    by_opening: list[str]
    folds: int


def normal_answer(text: str) -> str:
    """An answer as it is compared: as `plain` does, and a bare number as a number ("1,000.0" is "1000")."""
    found = plain(text)
    try:
        return f"{float(found.replace(',', '')):.10g}"
    except ValueError:
        return found


class OpenCrossValidation:
    """Held-out answers for the open-ended questions of one kind; features are computed once, and only if a fold is left to fit.

    `answers` is how many of the taught rows' answers are told apart, by frequency, those that occur twice at least. All others are one
    class, which takes its share of the probability and is never chosen.
    """

    def __init__(self, texts: Sequence[str], gold: Sequence[str], fitting: Fitting, *, answers: int) -> None:
        self.texts, self.fitting, self.answers = texts, fitting, answers
        self.gold = [normal_answer(answer) for answer in gold]
        self._features: Any = None

    def predict(self, groups: Sequence[str], stages: Stages, name: str) -> HeldOutAnswers:
        """Fits a fold after the other; a finished one is kept in `stages` under `name-<fold>` and read back from there."""
        fold = grouped_folds(groups, folds=self.fitting.folds, seed=self.fitting.seed)
        size, folds = len(self.texts), int(fold.max(initial=UNSCORED)) + 1
        found = HeldOutAnswers(fold, [""] * size, np.zeros(size), np.zeros(size), [""] * size, folds)
        for number in range(folds):
            stage = stages.get(f"{name}-{number}")
            if stage is None:
                stage = self._fit(fold, number)
                stages.put(f"{name}-{number}", stage)
            rows = stage["row"].to_numpy()
            found.probability[rows] = stage["probability"].to_numpy()
            found.p_gold[rows] = stage["p_gold"].to_numpy()
            for row, chosen, by_opening in zip(rows, stage["chosen"].to_pylist(), stage["by_opening"].to_pylist(), strict=True):
                found.chosen[row], found.by_opening[row] = chosen, by_opening
        return found

    def _fit(self, fold: NDArray[np.int8], number: int) -> pa.Table:
        taught, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        told = [self.gold[row] for row in taught.tolist()]
        classes = [answer for answer, count in _by_frequency(told)[: self.answers] if count > 1 and answer != _OTHER]
        probability = self._probabilities(taught, held, classes)
        best = probability.argmax(axis=1) if classes else np.zeros(len(held), dtype=np.int64)
        column = {answer: place for place, answer in enumerate(classes)}
        golds = [self.gold[row] for row in held.tolist()]
        p_gold = [float(line[column[gold]]) if gold in column else 0.0 for gold, line in zip(golds, probability, strict=True)]
        openings = _Openings([self.texts[row] for row in taught.tolist()], told)
        return pa.table(
            {
                "row": pa.array(held, pa.int64()),
                "chosen": pa.array([classes[place] for place in best] if classes else [_OTHER] * len(held), pa.string()),
                "probability": pa.array(probability.max(axis=1, initial=0.0), pa.float64()),
                "p_gold": pa.array(p_gold, pa.float64()),
                "by_opening": pa.array([openings.answer(self.texts[row]) for row in held.tolist()], pa.string()),
            }
        )

    def _probabilities(self, taught: NDArray[np.int64], held: NDArray[np.int64], classes: Sequence[str]) -> NDArray[np.float64]:
        """P(answer) of the held-out rows, one column a class; what is missing to 1 is any other answer."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        found = np.zeros((len(held), len(classes)))
        column = {answer: place for place, answer in enumerate(classes)}
        right = np.array([column.get(self.gold[row], len(classes)) for row in taught.tolist()])
        present = np.unique(right)
        if len(present) == 1:
            found[:, present[present < len(classes)]] = 1
            return found
        if self._features is None:
            most = min(self.fitting.max_features, _MOST_TERMS)
            self._features, _ = tfidf(map(_terms, self.texts), least=2 if len(self.texts) >= 100 else 1, most=most)
        with threadpool_limits(limits=1):
            model = LogisticRegression(C=_C_SCALE * self.fitting.c, max_iter=_MOST_STEPS, tol=_TOLERANCE)
            shares = model.fit(self._features[taught], right).predict_proba(self._features[held])
        told = model.classes_ < len(classes)
        found[:, model.classes_[told]] = shares[:, told]
        return found


class _Openings:
    """The most frequent answer among questions that begin with the same two words, else the same word, else among all."""

    def __init__(self, texts: Sequence[str], answers: Sequence[str]) -> None:
        counts: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text, answer in zip(texts, answers, strict=True):
            for opening in _openings(text):
                counts[opening][answer] += 1
        self._best = {opening: min(found, key=lambda answer: (-found[answer], answer)) for opening, found in counts.items()}

    def answer(self, text: str) -> str:
        return next((self._best[opening] for opening in _openings(text) if opening in self._best), _OTHER)


def _openings(text: str) -> list[tuple[str, ...]]:
    asked = words(text)
    return [tuple(asked[:2]), tuple(asked[:1]), ()]


def _terms(text: str) -> list[str]:
    asked = words(text)
    return [*asked, *(f"{first} {second}" for first, second in pairwise(asked)), f"{' '.join(asked[:1])} …", f"{' '.join(asked[:2])} …"]


def _by_frequency(answers: Sequence[str]) -> list[tuple[str, int]]:
    return sorted(Counter(answers).items(), key=lambda pair: (-pair[1], pair[0]))
