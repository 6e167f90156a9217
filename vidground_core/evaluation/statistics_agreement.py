"""Two judges, or two models, on the same questions: how far they agree, and whether one says yes more often than chance explains."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

from vidground_core.evaluation.statistics import RESAMPLES, Floats, Rate, cluster_bootstrap


@dataclass(frozen=True, slots=True)
class Agreement:
    """A fourfold table of two yes-or-no judgements of the same questions; for verdicts, yes is "answered" (TA)."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n(self) -> int:
        """The number of questions that both judged."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def overlap(self) -> float | None:
        """Share of questions judged alike; None without questions. High by itself where both mostly say the same: read kappa."""
        return (self.both + self.neither) / self.n if self.n else None

    @property
    def kappa(self) -> float | None:
        """Agreement beyond what the two rates of yes give by chance, over the most there could be; None where they leave no room.

        Cohen, Educational and Psychological Measurement, 1960, eq. 1.
        """
        return _number(_kappa(self._columns()))

    @property
    def jaccard(self) -> float | None:
        """Questions that both say yes to over those that either does; None where there are none (Jaccard, New Phytologist, 1912)."""
        return _number(_jaccard(self._columns()))

    @property
    def jaccard_of_no(self) -> float | None:
        """The same of the questions said no to: for verdicts, of the two VG sets."""
        return _number(_jaccard_of_no(self._columns()))

    def _columns(self) -> Floats:
        first, second = self.both + self.first_only, self.both + self.second_only
        return np.array([[self.both], [first], [second], [self.n]], dtype=np.float64)


def agreement(first: ArrayLike, second: ArrayLike) -> Agreement:
    """The fourfold table of two sequences of booleans, item by item; leave out what either did not judge."""
    one, two = _paired(first, second)
    counts = np.bincount(2 * one + two, minlength=4)
    return Agreement(both=int(counts[3]), first_only=int(counts[2]), second_only=int(counts[1]), neither=int(counts[0]))


def kappa_rate(
    first: ArrayLike, second: ArrayLike, groups: Sequence[Hashable], *, seed: int = 0, resamples: int = RESAMPLES
) -> Rate | None:
    """`Agreement.kappa` with a percentile interval from a bootstrap over groups; None where it is not defined."""
    columns = _indicators(first, second)
    if np.isnan(_kappa(columns.sum(axis=1, keepdims=True))[0]):
        return None
    return cluster_bootstrap(columns, groups, _kappa, bounds=(-1.0, 1.0), seed=seed, resamples=resamples)


def jaccard_of_no_rate(
    first: ArrayLike, second: ArrayLike, groups: Sequence[Hashable], *, seed: int = 0, resamples: int = RESAMPLES
) -> Rate | None:
    """`Agreement.jaccard_of_no` with a percentile interval from a bootstrap over groups; None where neither ever says no."""
    columns = _indicators(first, second)
    if np.isnan(_jaccard_of_no(columns.sum(axis=1, keepdims=True))[0]):
        return None
    return cluster_bootstrap(columns, groups, _jaccard_of_no, bounds=(0.0, 1.0), seed=seed, resamples=resamples)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p-values for "the first and the second are right equally often", and the questions that only one has right."""

    first_only: int
    second_only: int
    exact: float
    mid_p: float


def mcnemar(table: Agreement) -> McNemar:
    """McNemar's test (Psychometrika, 1947) on the questions where the two differ, each a fair coin under the hypothesis.

    `exact` never rejects too often but is conservative; `mid_p` is the one to read (Fagerland, Lydersen and Laake, BMC Medical Research
    Methodology, 2013, 13:91). Questions are taken as independent: where a video has several, see `statistics.difference` too.
    """
    fewer, differing = min(table.first_only, table.second_only), table.first_only + table.second_only
    at_most = float(bdtr(fewer, differing, 0.5))
    point = at_most - (float(bdtr(fewer - 1, differing, 0.5)) if fewer else 0.0)
    if table.first_only == table.second_only:
        return McNemar(table.first_only, table.second_only, 1.0, 1 - point / 2 if differing else 1.0)
    return McNemar(table.first_only, table.second_only, 2 * at_most, 2 * at_most - point)


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    one, two = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"judgements of shape {one.shape} and {two.shape}")
    return one.astype(np.int64), two.astype(np.int64)


def _indicators(first: ArrayLike, second: ArrayLike) -> Floats:
    one, two = _paired(first, second)
    return np.stack([one * two, one, two, np.ones_like(one)]).astype(np.float64)


def _kappa(sums: Floats) -> Floats:
    both, first, second, n = sums
    observed = (n - first - second + 2 * both) * n
    expected = first * second + (n - first) * (n - second)
    return _quotient(observed - expected, n * n - expected)


def _jaccard(sums: Floats) -> Floats:
    both, first, second, _ = sums
    return _quotient(both, first + second - both)


def _jaccard_of_no(sums: Floats) -> Floats:
    both, first, second, n = sums
    return _quotient(n - first - second + both, n - both)


def _quotient(above: Floats, below: Floats) -> Floats:
    shares: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    return shares


def _number(value: Floats) -> float | None:
    return None if np.isnan(value[0]) else float(value[0])
