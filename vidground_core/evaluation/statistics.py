"""Rates with intervals, and chance. Questions on one video are not independent, so every interval resamples videos, not questions.

Two judges side by side are in `statistics_agreement.py`, guesses told from knowledge in `mixture.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc

RESAMPLES = 2_000
LEVEL = 0.95
_CELLS = 4_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """An estimate from `n` items in `groups` clusters, with its interval `low` to `high` at 95 %."""

    value: float
    low: float
    high: float
    n: int
    groups: int

    @property
    def interval(self) -> list[float]:
        """[low, high], as `--json` prints it."""
        return [self.low, self.high]


def chance(options: Iterable[int]) -> float:
    """The mean of 1/K over questions with K options each: the expected accuracy of guessing. Raises ValueError where there is none."""
    shares = [1 / count if count else 0.0 for count in options]
    if not shares:
        raise ValueError("chance of no questions")
    return sum(shares) / len(shares)


def chance_corrected(accuracy: float, guessing: float) -> float | None:
    """(accuracy − chance)/(1 − chance): 0 for guessing, 1 for all right; None where chance is 1.

    The form of Cohen's kappa (Educational and Psychological Measurement, 1960, eq. 1) with chance as the expected agreement.
    """
    return None if guessing >= 1 else (accuracy - guessing) / (1 - guessing)


def guess_probability(right: int, trials: int, options: int) -> float:
    """P(at least `right` of `trials` right) for a judge that guesses among `options`: the one-sided binomial test.

    Clopper and Pearson, Biometrika, 1934. `options` 0 is an open-ended answer, never guessed. Raises ValueError for counts out of range.
    """
    if not 0 <= right <= trials or options < 0:
        raise ValueError(f"{right} right of {trials} trials with {options} options")
    if right == 0 or options == 1:
        return 1.0
    return float(bdtrc(right - 1, trials, 1 / options)) if options else 0.0


def least_right(trials: int, options: int, *, level: float = 0.05) -> int | None:
    """The smallest number right of `trials` that guessing among `options` reaches with probability at most `level`; None where none is.

    With 4 options: 3 of 3, 4 of 5, 5 of 8, 6 of 10. With two trials or fewer, no number tells knowledge from luck among 4 options.
    """
    return next((right for right in range(trials + 1) if guess_probability(right, trials, options) <= level), None)


def rate(values: ArrayLike, groups: Sequence[Hashable], *, seed: int = 0, resamples: int = RESAMPLES) -> Rate:
    """The mean of values in 0..1 (right or wrong, or shares) with a percentile interval from a bootstrap over groups.

    Cluster bootstrap: as many groups as there are, drawn with replacement, each with all its items (Davison and Hinkley, Bootstrap Methods
    and their Application, 1997, section 3.8; percentiles as in Efron, 1981). With few groups it is too narrow (Cameron, Gelbach and Miller,
    2008). One group says nothing of the spread between groups: the interval is then 0 to 1. Raises ValueError where there is no value.
    """
    right = _checked(values, groups)
    return cluster_bootstrap(np.stack([right, np.ones_like(right)]), groups, _ratio, bounds=(0.0, 1.0), seed=seed, resamples=resamples)


def rates(
    columns: Sequence[ArrayLike], groups: Sequence[Hashable] | NDArray[np.int64], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Rate]:
    """`rate` of each column of values of the same items, all from one drawing of resamples: the same intervals as one by one."""
    codes, count = _codes(groups.tolist() if isinstance(groups, np.ndarray) else groups)
    sizes = np.bincount(codes, minlength=count).astype(np.float64)
    sums = np.stack([np.bincount(codes, _checked(column, range(len(codes))), minlength=count) for column in columns])
    values = sums.sum(axis=1) / sizes.sum()
    if count < 2:
        return [Rate(float(value), 0.0, 1.0, n=len(codes), groups=count) for value in values]
    by_group = np.concatenate([sums, sizes[None]])
    drawn = np.concatenate([by_group @ weights.T for weights in _weights(count, seed=seed, resamples=resamples)], axis=1)
    intervals = [_percentiles(column) for column in drawn[:-1] / drawn[-1]]
    return [Rate(float(value), *interval, n=len(codes), groups=count) for value, interval in zip(values, intervals, strict=True)]


def difference(first: ArrayLike, second: ArrayLike, groups: Sequence[Hashable], *, seed: int = 0, resamples: int = RESAMPLES) -> Rate:
    """The mean of `first − second`, item by item, with the same interval as `rate`: paired, as both are of the same questions.

    With chances as `second` this is the accuracy above chance. One group gives −1 to 1.
    """
    gain = _checked(first, groups) - _checked(second, groups)
    return cluster_bootstrap(np.stack([gain, np.ones_like(gain)]), groups, _ratio, bounds=(-1.0, 1.0), seed=seed, resamples=resamples)


def rate_above_chance(
    right: ArrayLike, chances: ArrayLike, groups: Sequence[Hashable], *, seed: int = 0, resamples: int = RESAMPLES
) -> Rate | None:
    """`chance_corrected` of the mean of `right`, both means resampled together; None where chance is 1."""
    columns = np.stack([_checked(right, groups), _checked(chances, groups), np.ones(len(groups))])
    guessing = float(columns[1].mean())
    if guessing >= 1:
        return None
    bounds = (-guessing / (1 - guessing), 1.0)
    return cluster_bootstrap(columns, groups, _corrected, bounds=bounds, seed=seed, resamples=resamples)


def _ratio(sums: Floats) -> Floats:
    means: Floats = sums[0] / sums[1]
    return means


def _corrected(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected: Floats = (sums[0] - sums[1]) / (sums[2] - sums[1])
    return corrected


def cluster_bootstrap(
    columns: Floats,
    groups: Sequence[Hashable],
    statistic: Callable[[Floats], Floats],
    *,
    bounds: tuple[float, float],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Rate:
    """A statistic of column sums with a percentile interval over resampled groups.

    `columns` has shape (k, items). `statistic` maps sums of shape (k, resamples) to shape (resamples,). `bounds` is what the interval is
    for a single group. Resamples where the statistic is not defined are left out.
    """
    codes, count = _codes(groups)
    by_group = np.stack([np.bincount(codes, column, minlength=count) for column in columns])
    value = float(statistic(by_group.sum(axis=1, keepdims=True))[0])
    if count < 2:
        return Rate(value, *bounds, n=len(codes), groups=count)
    draws = np.concatenate([statistic(by_group @ weights.T) for weights in _weights(count, seed=seed, resamples=resamples)])
    return Rate(value, *_percentiles(draws), n=len(codes), groups=count)


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """The chance that a positive scores above a negative, ties counting half.

    The Mann–Whitney statistic over the number of pairs (Hanley and McNeil, Radiology, 1982). Raises ValueError without both kinds.
    """
    values, labels = _scored(scores, positive)
    return float(_auroc(values, labels, np.ones((1, len(values))))[0])


def auroc_rate(scores: ArrayLike, positive: ArrayLike, groups: Sequence[Hashable], *, seed: int = 0, resamples: int = RESAMPLES) -> Rate:
    """`auroc` with a percentile interval from a bootstrap over groups; resamples without both kinds are left out."""
    values, labels = _scored(scores, positive)
    codes, count = _codes(groups)
    if len(codes) != len(values):
        raise ValueError(f"{len(values)} scores and {len(codes)} groups")
    value = auroc(values, labels)
    if count < 2:
        return Rate(value, 0.0, 1.0, n=len(values), groups=count)
    chunks = _weights(count, seed=seed, resamples=resamples, width=max(count, len(values)))
    draws = np.concatenate([_auroc(values, labels, weights[:, codes]) for weights in chunks])
    return Rate(value, *_percentiles(draws), n=len(values), groups=count)


def _auroc(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """One value for each row of item weights, shape (draws, items); NaN where a draw lacks one kind."""
    order = np.argsort(scores, kind="stable")
    first_of_equals = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    above = np.add.reduceat(np.where(positive, weights, 0.0)[:, order], first_of_equals, axis=1)
    below = np.add.reduceat(np.where(positive, 0.0, weights)[:, order], first_of_equals, axis=1)
    won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    shares: Floats = np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)
    return shares


def _weights(count: int, *, seed: int, resamples: int, width: int = 0) -> Iterator[Floats]:
    """How often each group is drawn, a block of resamples at a time: shape (block, groups), each row summing to the number of groups."""
    generator = np.random.default_rng(seed)
    block = max(1, min(resamples, _CELLS // max(width, count)))
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        drawn = generator.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def _percentiles(draws: Floats) -> tuple[float, float]:
    low, high = np.percentile(draws[np.isfinite(draws)], [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _codes(groups: Sequence[Hashable]) -> tuple[NDArray[np.int64], int]:
    numbers: dict[Hashable, int] = {}
    codes = np.fromiter((numbers.setdefault(group, len(numbers)) for group in groups), dtype=np.int64, count=len(groups))
    return codes, len(numbers)


def _checked(values: ArrayLike, groups: Sequence[Hashable]) -> Floats:
    checked = np.asarray(values, dtype=np.float64)
    if checked.shape != (len(groups),):
        raise ValueError(f"values of shape {checked.shape} and {len(groups)} groups")
    if not len(checked):
        raise ValueError("a rate of no values")
    return checked


def _scored(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
    if values.shape != labels.shape or values.ndim != 1:
        raise ValueError(f"scores of shape {values.shape} and labels of shape {labels.shape}")
    if labels.all() or not labels.any():
        raise ValueError("AUROC needs positives and negatives")
    return values, labels
