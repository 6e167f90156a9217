"""Rates with intervals that stay honest where every question came out alike, at a number of resamples that fits the size of the data."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidground_core.evaluation import statistics
from vidground_core.evaluation.statistics import Rate, chance_corrected, cluster_bootstrap

_DRAWS = 40_000_000
_FEWEST_RESAMPLES = 400
# Sums in another order differ in the last digits.
_NO_WIDTH = 1e-12

Floats = NDArray[np.float64]
Groups = Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class AboveChance:
    """Accuracy, accuracy − chance and (accuracy − chance)/(1 − chance) of the same questions; `corrected` is None where chance is 1."""

    accuracy: Rate
    gain: Rate
    corrected: Rate | None


def resamples_for(groups: int, *, estimates: int = 1) -> int:
    """As many resamples as usual, fewer (at least 400) for very many groups or estimates: an interval is narrow there."""
    return int(max(_FEWEST_RESAMPLES, min(statistics.RESAMPLES, _DRAWS // max(1, groups * estimates))))


def rate(right: ArrayLike, groups: Groups, *, resamples: int = statistics.RESAMPLES) -> Rate:
    """`statistics.rate`, but where all groups came out alike, such as all right or none, with the exact binomial bound over groups."""
    return alike_bound(statistics.rate(right, groups, resamples=resamples), (0.0, 1.0))


def difference(first: ArrayLike, second: ArrayLike, groups: Groups, *, resamples: int = statistics.RESAMPLES) -> Rate:
    """`statistics.difference`, but where the difference is the same in all groups, such as none, with the exact binomial bound."""
    return alike_bound(statistics.difference(first, second, groups, resamples=resamples), (-1.0, 1.0))


def alike_bound(found: Rate, bounds: tuple[float, float]) -> Rate:
    """An estimate between `bounds` as it is, but with the exact binomial bound over groups where its interval has no width.

    Every resample is alike there. The bound takes a group as one trial (Clopper and Pearson, Biometrika, 1934): groups that came out
    otherwise are at most the share 1 − 0.025^(1/groups) of all, and they may lie as far off as `bounds` allow.
    """
    if found.groups < 2 or found.high - found.low > _NO_WIDTH:
        return found
    others = 1 - ((1 - statistics.LEVEL) / 2) ** (1 / found.groups)
    low, high = (found.value + others * (bound - found.value) for bound in bounds)
    return Rate(found.value, low, high, n=found.n, groups=found.groups)


def above_chance(right: Floats, chances: Floats, groups: Groups, *, resamples: int = statistics.RESAMPLES) -> AboveChance:
    """The three rates of a judge. Raises ValueError where there is no value."""
    accuracy = rate(right, groups, resamples=resamples)
    if accuracy.value in (0.0, 1.0):
        guessing = float(np.mean(chances))
        return AboveChance(accuracy, _moved(accuracy, guessing), _scaled(accuracy, guessing))
    gain = statistics.difference(right, chances, groups, resamples=resamples)
    return AboveChance(accuracy, gain, statistics.rate_above_chance(right, chances, groups, resamples=resamples))


def _moved(accuracy: Rate, guessing: float) -> Rate:
    low, high = accuracy.low - guessing, accuracy.high - guessing
    return Rate(accuracy.value - guessing, low, high, n=accuracy.n, groups=accuracy.groups)


def _scaled(accuracy: Rate, guessing: float) -> Rate | None:
    value, low, high = (chance_corrected(number, guessing) for number in (accuracy.value, accuracy.low, accuracy.high))
    if value is None or low is None or high is None:
        return None
    return Rate(value, low, high, n=accuracy.n, groups=accuracy.groups)


def rate_of(part: Floats, whole: Floats, groups: Groups, *, resamples: int = statistics.RESAMPLES) -> Rate | None:
    """The sum of `part` over the sum of `whole`, both resampled together by group; None where `whole` is nothing."""
    if not whole.sum():
        return None
    return cluster_bootstrap(np.stack([part, whole]), groups, _quotient, bounds=(-1.0, 1.0), resamples=resamples)


def _quotient(sums: Floats) -> Floats:
    shares: Floats = np.divide(sums[0], sums[1], out=np.full(sums[0].shape, np.nan), where=sums[1] > 0)
    return shares
