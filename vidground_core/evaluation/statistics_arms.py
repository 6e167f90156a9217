"""Arms of an experiment compared: several seeds on the same questions, paired differences, many comparisons, and what could be seen.

A cell is an array of right (1) and wrong (0), shape (seeds, questions), with the group (video) of each question. Seeds and groups are
crossed, every seed answers every question, so both are resampled, independently of one another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, norm, t

from vidground_core.evaluation.crossed_spread import Spread, detectable, median_bias
from vidground_core.evaluation.statistics import LEVEL, RESAMPLES

Floats = NDArray[np.float64]
Counts = NDArray[np.uint16]
# Draws kept for the next estimate of the same shape: those of a dozen splits of some thousand videos.
KEPT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cell:
    """The answers of one arm on one set of questions: `right` of shape (seeds, questions), `groups` one a question."""

    right: Floats
    groups: tuple[Hashable, ...]

    @classmethod
    def of(cls, right: ArrayLike, groups: Sequence[Hashable]) -> Cell:
        """Checks the shape. Raises ValueError for an empty array or another number of groups."""
        values = np.atleast_2d(np.asarray(right, dtype=np.float64))
        if values.ndim != 2 or not values.size or values.shape[1] != len(groups):
            raise ValueError(f"answers of shape {values.shape} and {len(groups)} groups; expected (seeds, questions)")
        return cls(values, tuple(groups))

    @property
    def accuracies(self) -> Floats:
        """Accuracy of each seed, shape (seeds,)."""
        means: Floats = self.right.mean(axis=1)
        return means


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and questions with its 95 % interval; `error` is its standard error, `deviation` the seeds' (n − 1).

    `freedom` are the degrees of freedom of `error`: few seeds that differ give few.
    """

    value: float
    low: float
    high: float
    error: float
    seeds: int
    questions: int
    groups: int
    deviation: float | None
    freedom: float

    @property
    def interval(self) -> list[float]:
        """[low, high], as `--json` prints it."""
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Difference:
    """First arm minus second, question by question and seed by seed, in shares (0.01 is one point).

    `p` is two-sided, from the same resamples as the interval; `p_seeds` from a paired t-test over the seeds' differences (None with one
    seed); `gained` and `lost` are the questions times seeds that only the first, only the second has right, and `mcnemar` the exact
    McNemar test on them with one seed (None with several, whose answers to one question are not independent). `detectable` is the
    smallest true difference that this design finds with a chance of 80 %, by the resamples and by the t-test both; None where no answer
    differs or all questions are on one video, which says nothing of the spread.
    """

    estimate: Estimate
    p: float
    p_seeds: float | None
    gained: int
    lost: int
    mcnemar: float | None
    mcnemar_by_seed: tuple[float, ...]
    detectable: float | None


class Resampling:
    """How often each seed and each group is drawn in every resample; the same for all estimates of one shape, so drawn once.

    A study compares many arms on the same questions with the same seeds. Each shape starts from `seed` anew: an estimate is the same number
    whatever was estimated before it.
    """

    def __init__(self, *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.seed, self.resamples = seed, resamples
        self._kept: OrderedDict[tuple[int, ...], tuple[Counts, ...]] = OrderedDict()

    def drawn(self, seeds: int, groups: Sequence[int]) -> tuple[Counts, ...]:
        """Counts of the seeds, then of the groups of each cell, each of shape (resamples, number)."""
        shape = (seeds, *groups)
        if shape not in self._kept:
            generator = np.random.default_rng(self.seed)
            self._kept[shape] = tuple(_counts(generator, count, self.resamples) for count in shape)
            while len(self._kept) > 1 and sum(each.nbytes for kept in self._kept.values() for each in kept) > KEPT_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(shape)
        return self._kept[shape]


def arm_estimate(cells: Sequence[Cell], *, resampling: Resampling | None = None) -> Estimate:
    """The accuracy of an arm: one cell, or the plain mean of several (benchmarks), each resampled by its own groups.

    Hierarchical bootstrap over crossed factors (the pigeonhole bootstrap: Owen, Annals of Applied Statistics, 2007): seeds and groups are
    drawn with replacement, independently; then the draws get the spread that few seeds ask for (`Spread`). With one seed only groups are
    drawn, and the interval says nothing of the spread of trainings.
    Raises ValueError where the cells have different numbers of seeds.
    """
    return _estimate(cells, _draws(cells, resampling or Resampling()), bounds=(0.0, 1.0))[0]


def arm_difference(
    first: Sequence[Cell], second: Sequence[Cell], *, level: float = 1 - LEVEL, resampling: Resampling | None = None
) -> Difference:
    """First minus second on the same questions with the same seeds; `level` is the significance level that `detectable` is for.

    Raises ValueError where questions or seeds differ.
    """
    if len(first) != len(second) or any(a.right.shape != b.right.shape or a.groups != b.groups for a, b in zip(first, second, strict=True)):
        raise ValueError("the arms were not evaluated on the same questions with the same seeds, so they cannot be paired")
    gains = [Cell(a.right - b.right, a.groups) for a, b in zip(first, second, strict=True)]
    estimate, draws = _estimate(gains, _draws(gains, resampling or Resampling()), bounds=(-1.0, 1.0))
    single = estimate.groups == len(gains)
    gained, lost = (np.sum([(sign * gain.right > 0).sum(axis=1) for gain in gains], axis=0) for sign in (1, -1))
    tests = tuple(mcnemar(int(more), int(less)) for more, less in zip(gained, lost, strict=True))
    return Difference(
        estimate=estimate,
        p=1.0 if single else bootstrap_p(draws),
        p_seeds=paired_t(np.mean([gain.accuracies for gain in gains], axis=0)),
        gained=int(gained.sum()),
        lost=int(lost.sum()),
        mcnemar=tests[0] if estimate.seeds == 1 else None,
        mcnemar_by_seed=tests,
        detectable=None if single or not estimate.error else _detectable(estimate, level),
    )


def _draws(cells: Sequence[Cell], resampling: Resampling) -> Floats:
    """The mean over cells in each resample; the same seeds are drawn for all cells."""
    seeds = {cell.right.shape[0] for cell in cells}
    if len(seeds) != 1:
        raise ValueError(f"cells with different numbers of seeds: {sorted(seeds)}")
    coded = [_codes(cell.groups) for cell in cells]
    of_seeds, *of_groups = resampling.drawn(seeds.pop(), [int(codes.max()) + 1 for codes in coded])
    drawn = of_seeds.astype(np.float64)
    total = np.zeros(len(drawn))
    for cell, codes, counts in zip(cells, coded, of_groups, strict=True):
        weights = counts.astype(np.float64)
        sums = np.stack([np.bincount(codes, row, minlength=weights.shape[1]) for row in cell.right])
        sizes = np.bincount(codes, minlength=weights.shape[1]).astype(np.float64)
        by_seed = (weights @ sums.T) / (weights @ sizes)[:, None]
        total += (by_seed * drawn).sum(axis=1) / drawn.sum(axis=1)
    return total / len(cells)


def _counts(generator: np.random.Generator, count: int, resamples: int) -> Counts:
    """How often each of `count` items is drawn, shape (resamples, count)."""
    return generator.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.uint16)


def _codes(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    numbers: dict[Hashable, int] = {}
    return np.fromiter((numbers.setdefault(group, len(numbers)) for group in groups), dtype=np.int64, count=len(groups))


def _estimate(cells: Sequence[Cell], draws: Floats, *, bounds: tuple[float, float]) -> tuple[Estimate, Floats]:
    """The estimate, and the draws that its interval is taken from."""
    by_seed = np.mean([cell.accuracies for cell in cells], axis=0)
    groups = sum(len(set(cell.groups)) for cell in cells)
    single = groups == len(cells)
    spread = Spread.of([_deviations(cell) for cell in cells])
    stretched = _stretched(draws, float(by_seed.mean()), spread)
    low, high = np.percentile(stretched, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    estimate = Estimate(
        value=float(by_seed.mean()),
        low=bounds[0] if single else max(bounds[0], float(low)),
        high=bounds[1] if single else min(bounds[1], float(high)),
        error=spread.error,
        seeds=len(by_seed),
        questions=sum(cell.right.shape[1] for cell in cells),
        groups=groups,
        deviation=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
        freedom=spread.freedom,
    )
    return estimate, stretched


def _stretched(draws: Floats, centre: float, spread: Spread) -> Floats:
    """Draws with the spread that so few seeds and groups ask for, around the estimate; their shape stays.

    Resampling both factors counts the noise of single answers three times, and takes a variance over few seeds for known. So the draws
    get the standard error of `spread`, and the width of Student's t with its degrees of freedom.
    """
    deviation = float(draws.std(ddof=1))
    if not deviation or not spread.error:
        return draws
    of_t = t.ppf((1 + LEVEL) / 2, spread.freedom) / norm.ppf((1 + LEVEL) / 2)
    stretched: Floats = centre + (draws - centre) * (spread.error / deviation * of_t)
    return stretched


def _deviations(cell: Cell) -> Floats:
    """What each group adds to a seed's accuracy over the mean of all, shape (seeds, groups); the mean over groups is the seed's."""
    codes = _codes(cell.groups)
    sizes = np.bincount(codes)
    sums = np.stack([np.bincount(codes, row, minlength=len(sizes)) for row in cell.right])
    scaled: Floats = (sums - cell.right.mean() * sizes) * (len(sizes) / sizes.sum())
    return scaled


def bootstrap_p(draws: Floats) -> float:
    """Two-sided p of "no difference" from resampled differences: twice the smaller tail, ties counted in both, never below 1/resamples.

    Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.4; the +1 as in Phipson and Smyth, 2010.
    """
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(draws) + 1))


def paired_t(differences: ArrayLike) -> float | None:
    """Two-sided p of a paired t-test over seeds; None with fewer than two. Equal differences give 0, or 1 where they are all 0."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return None
    error = values.std(ddof=1) / np.sqrt(len(values))
    if error == 0:
        return 0.0 if values[0] else 1.0
    return float(2 * t.sf(abs(values.mean()) / error, len(values) - 1))


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided McNemar test: p of so uneven a split of the questions that only one of two arms has right.

    McNemar, Psychometrika, 1947, by the binomial distribution with 1/2. Raises ValueError for negative counts.
    """
    if gained < 0 or lost < 0:
        raise ValueError(f"{gained} questions gained and {lost} lost")
    return min(1.0, 2 * float(binom.cdf(min(gained, lost), gained + lost, 0.5)))


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given (Holm, Scandinavian Journal of Statistics, 1979)."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda each: ps[each])):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = largest
    return adjusted


def _detectable(estimate: Estimate, level: float) -> float:
    """The larger of the differences that either test finds: the resamples at `level`, the t-test over seeds at 5 %."""
    freedom = estimate.freedom
    by_draws = detectable(estimate.error * median_bias(freedom), level=level, freedom=freedom)
    if not estimate.deviation:
        return by_draws
    over_seeds = estimate.deviation / np.sqrt(estimate.seeds) * median_bias(estimate.seeds - 1)
    return max(by_draws, detectable(over_seeds, freedom=estimate.seeds - 1))
