"""The spread of a mean over seeds and groups that are crossed, and what difference a design with that spread could find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2, nct, norm, t

Floats = NDArray[np.float64]
LEVEL = 0.05
POWER = 0.8
# Degrees of freedom from which Student's t is taken for the normal distribution.
MANY = 1000.0


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard error of a mean over seeds and groups that are crossed, and its degrees of freedom.

    The variance is that of seeds, plus that of groups, less that of single answers, which stands in both (two-way analysis of variance;
    Cameron, Gelbach and Miller, Journal of Business & Economic Statistics, 2011), and never below either share of its own. Degrees of
    freedom: Satterthwaite, Biometrics Bulletin, 1946.
    """

    error: float
    freedom: float

    @classmethod
    def of(cls, parts: Sequence[Floats]) -> Spread:
        """Of the plain mean over `parts` of shape (seeds, groups): what each group adds to a seed's deviation from the mean of all."""
        seeds, share = len(parts[0]), 1 / len(parts) ** 2
        groups = [part.shape[1] for part in parts]
        of_groups = sum(share * _square(part.mean(axis=0)) / max(count - 1, 1) / count for part, count in zip(parts, groups, strict=True))
        free_groups = max(sum(groups) - len(groups), 1)
        if seeds == 1:
            return cls(float(np.sqrt(of_groups)), float(free_groups))
        of_seeds = _square(np.mean([part.mean(axis=1) for part in parts], axis=0)) / (seeds - 1) / seeds
        of_answers = sum(
            share
            * _square(part - part.mean(axis=0) - part.mean(axis=1, keepdims=True))
            / ((seeds - 1) * max(count - 1, 1))
            / (seeds * count)
            for part, count in zip(parts, groups, strict=True)
        )
        total = max(of_seeds - of_answers, 0.0) + max(of_groups - of_answers, 0.0) + of_answers
        if not total:
            return cls(0.0, float(free_groups))
        unsure = of_seeds**2 / (seeds - 1) + of_groups**2 / free_groups + of_answers**2 / ((seeds - 1) * free_groups)
        return cls(float(np.sqrt(total)), float(total**2 / unsure))


def _square(values: Floats) -> float:
    return float((values**2).sum())


def detectable(error: float, *, level: float = LEVEL, power: float = POWER, freedom: float = np.inf) -> float:
    """The smallest true difference found with probability `power` at two-sided `level`, given the standard error of a difference.

    `freedom`: degrees of freedom of that error; the power is that of a t-test (the noncentral t distribution), with infinitely many that of
    the normal approximation, error · (z(1 − level/2) + z(power)).
    """
    if freedom > MANY:
        return float(error * (norm.ppf(1 - level / 2) + norm.ppf(power)))
    critical = t.ppf(1 - level / 2, freedom)
    shift = brentq(lambda noncentral: nct.sf(critical, freedom, noncentral) - power, 0.0, 10 * critical)
    return float(error * shift)


def median_bias(freedom: float) -> float:
    """What a standard error with few degrees of freedom is multiplied by to be as often too large as too small."""
    return float(np.sqrt(freedom / chi2.ppf(0.5, freedom)))
