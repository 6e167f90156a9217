"""Rates and AUROC with the intervals of `evaluation.statistics`, at any size of data and where all questions came out alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidground_core.evaluation import statistics
from vidground_core.experiments import audit_rates

from .data import Estimate

_DRAWS = 40_000_000
_AUROC_DRAWS = 3_000_000
_FEWEST_RESAMPLES = 400


def rate(right: NDArray[np.bool_], groups: NDArray[np.int32]) -> Estimate:
    """The share of `right`, with a 95% interval that resamples groups, or the exact bound where all are alike."""
    found = audit_rates.rate(right.astype(np.float64), groups.tolist(), resamples=_resamples(groups))
    return Estimate(found.value, found.low, found.high, found.n)


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: NDArray[np.int32]) -> Estimate:
    """The chance that a positive scores above a negative, with a 95% interval that resamples groups."""
    found = statistics.auroc_rate(scores, positive, groups.tolist(), resamples=_resamples(groups, _AUROC_DRAWS))
    return Estimate(found.value, found.low, found.high, found.n)


def _resamples(groups: NDArray[np.int32], draws: int = _DRAWS) -> int:
    """As many as usual, fewer for very many questions: the interval is narrow there, and a second a table row would be long."""
    return int(max(_FEWEST_RESAMPLES, min(statistics.RESAMPLES, draws // len(groups))))
