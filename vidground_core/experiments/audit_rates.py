"""Rates with intervals that stay honest where every question came out alike, at a number of resamples that fits the size of the data."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidground_core.evaluation import statistics
from vidground_core.evaluation.statistics import Rate, chance_corrected, cluster_bootstrap

_DRAWS = 40_000_000
_FEWEST_RESAMPLES = 400

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


def rate(right: Floats, groups: Groups, *, resamples: int = statistics.RESAMPLES) -> Rate:
    """`statistics.rate`, but where all items are right, or none is, with the exact binomial bound over groups.

    Every resample is alike there and the bootstrap's interval would have no width. The bound takes a group as one trial (Clopper and
    Pearson, Biometrika, 1934).
    """
    found = statistics.rate(right, groups, resamples=resamples)
    if found.value not in (0.0, 1.0) or found.groups < 2:
        return found
    bound = ((1 - statistics.LEVEL) / 2) ** (1 / found.groups)
    low, high = (bound, 1.0) if found.value else (0.0, 1 - bound)
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
