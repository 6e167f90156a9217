"""Rates and AUROC with the intervals of `evaluation.statistics`, at any size of data and where all questions came out alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidground_core.evaluation import statistics

from .data import Estimate

_DRAWS = 40_000_000
_AUROC_DRAWS = 3_000_000
_FEWEST_RESAMPLES = 400


def rate(right: NDArray[np.bool_], groups: NDArray[np.int32]) -> Estimate:
    """The share of `right`, with a 95% interval that resamples groups.

    Where all are alike every resample is too, and the bootstrap's interval has no width; the exact binomial bound over groups stands
    there instead (Clopper and Pearson, Biometrika, 1934), which takes a group as one trial.
    """
    found = statistics.rate(right.astype(np.float64), groups.tolist(), resamples=_resamples(groups))
    if found.value not in (0.0, 1.0):
        return Estimate(found.value, found.low, found.high, found.n)
    bound = ((1 - statistics.LEVEL) / 2) ** (1 / found.groups)
    low, high = (bound, 1.0) if found.value else (0.0, 1 - bound)
    return Estimate(found.value, low, high, found.n)


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: NDArray[np.int32]) -> Estimate:
    """The chance that a positive scores above a negative, with a 95% interval that resamples groups."""
    found = statistics.auroc_rate(scores, positive, groups.tolist(), resamples=_resamples(groups, _AUROC_DRAWS))
    return Estimate(found.value, found.low, found.high, found.n)


def _resamples(groups: NDArray[np.int32], draws: int = _DRAWS) -> int:
    """As many as usual, fewer for very many questions: the interval is narrow there, and a second a table row would be long."""
    return int(max(_FEWEST_RESAMPLES, min(statistics.RESAMPLES, draws // len(groups))))
