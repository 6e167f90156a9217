"""Cross-validated option choice from text features: folds, fits and held-out predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vidground_core.detectors.base import Stages
from vidground_core.detectors.question_features import TextRow

UNSCORED = -1
_REASONS = 3
_MOST_STEPS = 1_000
_TOLERANCE = 1e-3

# The features of all pairs of questions and options, dense or sparse, and a name a column, or no names.
PairMatrix = Callable[[Sequence[TextRow]], tuple[Any, list[str]]]


@dataclass(frozen=True)
class Fitting:
    """How the classifier is fitted. `c` is the inverse of the L2 penalty, as in scikit-learn's LogisticRegression."""

    folds: int
    seed: int
    c: float
    max_features: int


@dataclass(frozen=True)
class HeldOut:
    """Predictions by models that never saw the row's group: `fold[i]` of question i, the probability of each pair, reasons in words.

    `fold` is UNSCORED where no other group has a question with at least two options.
    """

    fold: NDArray[np.int8]
    start: NDArray[np.int64]
    probability: NDArray[np.float64]
    reasons: list[str]
    folds: int

    def options(self, row: int) -> NDArray[np.float64]:
        """P(option) of one question, summing to 1."""
        return self.probability[self.start[row] : self.start[row + 1]]


def grouped_folds(groups: Sequence[str], *, folds: int, seed: int) -> NDArray[np.int8]:
    """The fold of each row: all rows of a group in one, groups dealt out evenly after a seeded shuffle of their sorted names.

    Fewer groups than folds give as many folds as groups; a single group gives UNSCORED.
    """
    names = sorted(set(groups))
    folds = min(folds, len(names))
    if folds < 2:
        return np.full(len(groups), UNSCORED, dtype=np.int8)
    dealt = np.random.default_rng(seed).permutation(len(names)) % folds
    fold_of = dict(zip(names, dealt, strict=True))
    return np.array([fold_of[group] for group in groups], dtype=np.int8)


class CrossValidation:
    """Held-out predictions for one set of questions; features are computed once, and only if a fold is left to fit."""

    def __init__(self, rows: Sequence[TextRow], gold: Sequence[int], fitting: Fitting, matrix: PairMatrix) -> None:
        self.rows, self.fitting, self._matrix = rows, fitting, matrix
        self.gold = np.asarray(gold, dtype=np.int64)
        self.counts = np.array([len(options) for _, options in rows], dtype=np.int64)
        self.start = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        self._features: tuple[Any, list[str]] | None = None

    def predict(self, groups: Sequence[str], stages: Stages, name: str, *, explain: bool = False) -> HeldOut:
        """Fits a fold after the other; a finished one is kept in `stages` under `name-<fold>` and read back from there.

        With `explain` each prediction comes with its reasons, where the features have names. A question with a single option has
        probability 1 and neither teaches nor needs a model.
        """
        open_rows = np.flatnonzero(self.counts > 1)
        fold = np.full(len(self.rows), UNSCORED, dtype=np.int8)
        fold[open_rows] = grouped_folds([groups[row] for row in open_rows.tolist()], folds=self.fitting.folds, seed=self.fitting.seed)
        probability = np.repeat(1 / np.maximum(self.counts, 1), self.counts)
        reasons = [""] * len(self.rows)
        folds = int(fold.max(initial=UNSCORED)) + 1
        for number in range(folds):
            stage = stages.get(f"{name}-{number}")
            if stage is None:
                stage = self._fit(fold, number, explain=explain)
                stages.put(f"{name}-{number}", stage)
            rows = stage["row"].to_numpy()
            probability[_pairs(self.start, rows)] = stage["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            for row, reason in zip(rows, stage["reason"].to_pylist(), strict=True):
                reasons[row] = reason
        return HeldOut(fold, self.start, probability, reasons, folds)

    def _fit(self, fold: NDArray[np.int8], number: int, *, explain: bool) -> pa.Table:
        self._features = self._features or self._matrix(self.rows)
        matrix, names = self._features
        taught = _pairs(self.start, np.flatnonzero((fold != number) & (fold != UNSCORED)))
        right = np.zeros(int(self.start[-1]), dtype=np.float32)
        right[self.start[:-1] + self.gold] = 1
        weights, intercept = _logistic_regression(matrix[taught], right[taught], self.fitting.c)
        held = np.flatnonzero(fold == number)
        pairs = matrix[_pairs(self.start, held)]
        scores = np.split(pairs @ weights + intercept, np.cumsum(self.counts[held])[:-1])
        probabilities = [_softmax(part) for part in scores]
        chosen = [int(part.argmax()) for part in scores]
        reasons = list(_reasons(pairs, weights, chosen, self.counts[held], names)) if explain and names else [""] * len(held)
        return pa.table({"row": pa.array(held, pa.int64()), "probabilities": pa.array(probabilities), "reason": reasons})


def _pairs(start: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pairs of the rows, in their order."""
    counts = start[rows + 1] - start[rows]
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs: NDArray[np.int64] = np.repeat(start[rows], counts) + offsets
    return pairs


def _softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """P(option j is the one right option) from the log-odds of each pair: odds_j / sum of odds."""
    odds = np.exp(scores.astype(np.float64) - scores.max())
    shares: NDArray[np.float64] = odds / odds.sum()
    return shares


def _logistic_regression(matrix: Any, right: NDArray[np.float32], c: float) -> tuple[NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        model = LogisticRegression(C=c, solver="lbfgs", max_iter=_MOST_STEPS, tol=_TOLERANCE).fit(matrix, right)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _reasons(
    pairs: Any, weights: NDArray[np.float64], chosen: Sequence[int], counts: NDArray[np.int64], names: Sequence[str]
) -> Iterator[str]:
    """For each question what spoke most for the chosen option against the mean of all, with the weight in log-odds.

    A term that the chosen option does not have speaks for it where it speaks against the others that do.
    """
    spoken = pairs.multiply(weights[None, :]).tocsr()
    first = 0
    for place, count in zip(chosen, counts, strict=True):
        block = spoken[first : first + count]
        first += count
        used, columns = np.unique(block.indices, return_inverse=True)
        mine = slice(block.indptr[place], block.indptr[place + 1])
        own = np.zeros(len(used))
        own[columns[mine]] = block.data[mine]
        gain = own - np.bincount(columns, block.data, minlength=len(used)) / count
        has = np.isin(np.arange(len(used)), columns[mine])
        best = [column for column in np.argsort(-gain, kind="stable")[:_REASONS] if gain[column] > 0]
        yield ", ".join(f"{'' if has[column] else 'no '}{names[used[column]]} ({gain[column]:+.2f})" for column in best)
