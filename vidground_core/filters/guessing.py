"""Whether a judge knows, is convinced, or guesses: a mixture over a whole set, fitted to right answers of several trials a question.

`evaluation.mixture` takes the trials of a question as independent guesses. Language models are not so: asked in four rotations, they often
choose the same option four times, right or wrong. A judge therefore has three states here:

- it knows (share π) and is right in a trial with probability q;
- it is convinced of some option, which is the right one with probability 1/K: then as if it knew, else right with (1 − q)/(K − 1);
- it guesses afresh in every trial, right with 1/K.

A lucky conviction looks exactly like knowing; how many there are is told by the unlucky ones, (K − 1) times as many. With one trial a
question the last two states are one, and π is the chance-corrected accuracy. Where a judge gives probabilities and is not sure of any
option, it makes no choice and does not know: only what it is sure of can be lucky. Not covered: convictions that are wrong more often than
chance (distractors made to mislead), which make the number of lucky ones an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlog1py, xlogy

Floats = NDArray[np.float64]

NO_CHOICE = -1
"""In place of a number of trials: the judge was asked and is not sure of any option."""
_STEPS = 26
_MOST_ROUNDS = 3_000
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Judge:
    """One judge's shares of `known` and, among the rest, `convinced`; `q` is its chance of a right answer to what it knows.

    Of what it does not know it makes a choice in the share `chooses`.

    `identified` is False where q was assumed to be 1, as no question has three trials.
    """

    known: float
    convinced: float
    q: float
    identified: bool
    chooses: float = 1.0

    def likelihoods(self, right: ArrayLike, trials: ArrayLike, options: ArrayLike) -> tuple[Floats, Floats]:
        """P(right answers | it knows) and P(right answers | it does not), without binomial coefficients; each of shape (questions,)."""
        right, trials, options = (np.asarray(column) for column in (right, trials, options))
        asked = np.maximum(trials, 0)
        known, convinced, guessed = _components(right, asked, options, self.q)
        unknown = self.convinced * convinced + (1 - self.convinced) * guessed
        unknown = np.where(trials > 0, self.chooses * unknown, unknown)
        return np.where(trials == NO_CHOICE, 0.0, known), np.where(trials == NO_CHOICE, 1 - self.chooses, unknown)


def fit_judge(right: ArrayLike, trials: ArrayLike, options: ArrayLike) -> Judge | None:
    """The likeliest judge behind `right` answers of `trials` to questions with so many `options` (0: open-ended, never guessed right).

    `trials` are NO_CHOICE where it was sure of no option.

    For each q the shares have one maximum, found by EM (Dempster, Laird and Rubin, JRSS B, 1977); q is searched from the middle between
    chance and 1 up to 1. Convictions, and knowing at all, are taken up only where they raise the likelihood by more than a parameter is
    worth (Akaike, IEEE Transactions on Automatic Control, 1974). None where no question with several options or none has a trial.
    """
    columns = np.stack(np.broadcast_arrays(*(np.asarray(column) for column in (right, trials, options))))
    useful = (columns[1] > 0) & (columns[2] != 1)
    if not useful.any():
        return None
    cells, counted = np.unique(columns[:, useful], axis=1, return_counts=True)
    weights = counted.astype(np.float64)
    identified = bool((cells[1] > 2).any())
    lowest = (1 + float(_chance(cells[2]).max())) / 2
    grid = np.linspace(lowest, 1.0, _STEPS) if identified else np.ones(1)
    fits = [_shares(np.stack(_components(cells[0], cells[1], cells[2], q)), weights, np.ones(3, dtype=bool)) for q in grid]
    best = int(np.argmax([likelihood for _, likelihood in fits]))
    q, (shares, likelihood) = float(grid[best]), fits[best]
    parts = np.stack(_components(cells[0], cells[1], cells[2], q))
    # Least first: only fresh guesses, then no knowing, then no convictions.
    for states, saved in (((0, 0, 1), 2), ((0, 1, 1), 1), ((1, 0, 1), 1)):
        simpler, reached = _shares(parts, weights, np.array(states, dtype=bool))
        if likelihood - reached <= saved:
            shares = simpler
            break
    unknown = float(shares[1] + shares[2])
    unsure = int(((columns[1] == NO_CHOICE) & (columns[2] != 1)).sum())
    lost = unknown * float(weights.sum())
    return Judge(
        known=float(shares[0]) * float(weights.sum()) / (float(weights.sum()) + unsure),
        convinced=float(shares[1]) / unknown if unknown > 0 else 0.0,
        q=q,
        identified=identified,
        chooses=lost / (lost + unsure) if unsure else 1.0,
    )


def _components(right: NDArray[np.int64], trials: NDArray[np.int64], options: NDArray[np.int64], q: float) -> tuple[Floats, Floats, Floats]:
    """Likelihood of each row where the judge knows, is convinced, guesses."""
    chance = _chance(options)
    others = np.where(options > 1, (1 - q) / np.maximum(options - 1, 1), chance)
    known = _binomial(right, trials, np.full_like(chance, q))
    known = np.where(options == 1, 1.0, known)
    unlucky = _binomial(right, trials, others)
    return known, chance * known + (1 - chance) * unlucky, _binomial(right, trials, chance)


def _shares(parts: Floats, weights: Floats, allowed: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Shares of the allowed states and the log-likelihood; rows that no state explains are left out."""
    explained = parts.sum(axis=0) > 0
    parts, weights = parts[:, explained], weights[explained]
    shares = allowed / allowed.sum()
    before = -np.inf
    for _ in range(_MOST_ROUNDS):
        joint = shares[:, None] * parts
        total = joint.sum(axis=0)
        if not total.all():
            return shares, -np.inf
        now = float(weights @ np.log(total))
        if now - before <= _TOLERANCE * weights.sum():
            break
        before = now
        shares = (joint / total) @ weights / weights.sum()
    return shares, now


def _binomial(right: NDArray[np.int64], trials: NDArray[np.int64], share: Floats) -> Floats:
    return np.asarray(np.exp(xlogy(right, share) + xlog1py(trials - right, -share)), dtype=np.float64)


def _chance(options: NDArray[np.int64]) -> Floats:
    return np.where(options > 0, 1 / np.maximum(options, 1), 0.0).astype(np.float64)
