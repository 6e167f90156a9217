"""Which right answers were guesses: a two-component binomial mixture over a whole set, fitted by EM.

A question is text-only answerable (TA) with probability π and is then answered right with probability q in each trial; any other (VG) is
guessed, right with probability 1/K. From c right of n trials this gives P(TA | c, n, K) for each question, and from those how many VG
questions a selection drops by luck and how many TA questions it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, xlog1py, xlogy

Floats = NDArray[np.float64]

_STARTS = (0.95, 0.8, 0.6)


@dataclass(frozen=True, slots=True)
class MixtureErrors:
    """Expected wrong decisions of a selection: VG questions dropped by luck, TA questions kept, and how many VG and TA there are."""

    false_drops: float
    false_keeps: float
    grounded: float
    answerable: float

    @property
    def false_drop_rate(self) -> float:
        """Share of the VG questions that is dropped; 0 where there is none."""
        return self.false_drops / self.grounded if self.grounded else 0.0

    @property
    def false_keep_rate(self) -> float:
        """Share of the TA questions that is kept; 0 where there is none."""
        return self.false_keeps / self.answerable if self.answerable else 0.0


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture. `pi` is the share of TA questions, `q` their chance of a right answer in one trial.

    `identified` is False where `q` could not be estimated and was assumed: with one trial a question only π·q + (1 − π)/K is observed.
    `posteriors` are P(TA) of the questions it was fitted to, shape (questions,). `log_likelihood` (nats) leaves out binomial coefficients.
    """

    pi: float
    q: float
    identified: bool
    converged: bool
    iterations: int
    log_likelihood: float
    posteriors: Floats = field(repr=False, compare=False)

    def posterior(self, c: ArrayLike, n: ArrayLike, k: ArrayLike) -> Floats:
        """P(TA | c right of n trials, K options), shape as broadcast; `k` 0 is an open-ended answer, which is not guessed.

        A question with one option is answered right without watching: 1. No trial leaves π.
        """
        right, trials, options = _checked(c, n, k)
        return _posterior(right, trials, _chance(options), pi=self.pi, q=self.q)

    def expected_errors(self, dropped: ArrayLike) -> MixtureErrors:
        """Expected false drops and keeps of dropping the fitted questions where `dropped` (booleans, in the order fitted) is True."""
        mask = np.asarray(dropped, dtype=np.bool_)
        if mask.shape != self.posteriors.shape:
            raise ValueError(f"{mask.size} decisions for {self.posteriors.size} questions that the mixture was fitted to")
        answerable = float(self.posteriors.sum())
        return MixtureErrors(
            false_drops=float((1 - self.posteriors[mask]).sum()),
            false_keeps=float(self.posteriors[~mask].sum()),
            grounded=len(mask) - answerable,
            answerable=answerable,
        )

    def threshold(self, rate: float) -> float:
        """The least P(TA) to drop at so that the expected share of VG questions dropped stays at or under `rate`; inf where none does.

        Questions of equal P(TA) are dropped together or not at all. Drop where `posteriors >= threshold`.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"false-drop rate {rate!r} is not between 0 and 1")
        levels, of_level = np.unique(self.posteriors, return_inverse=True)
        lost = np.bincount(of_level, 1 - self.posteriors, minlength=len(levels))[::-1].cumsum()
        allowed = rate * (len(self.posteriors) - float(self.posteriors.sum()))
        within = np.flatnonzero(lost <= allowed * (1 + 1e-12) + 1e-12)
        return float(levels[::-1][within[-1]]) if len(within) else float("inf")


def fit_guessing_mixture(
    c: ArrayLike, n: ArrayLike, k: ArrayLike, *, q: float | None = None, tolerance: float = 1e-12, max_iterations: int = 20_000
) -> Mixture:
    """Fits π and q to c right of n trials over questions with K options each (`k` 0: open-ended, never guessed right).

    EM for a binomial mixture with one component known (Dempster, Laird and Rubin, JRSS B, 1977, section 4.3; the model is the two-state
    one of mastery tests: Macready and Dayton, Journal of Educational Statistics, 1977). Trials of one question are taken as independent.
    q is held at or above the largest chance in the set, so that the components cannot swap; questions with one option carry no
    information and are left out. Where no question has two trials, q cannot be told from π: it is taken as 1 unless given, which
    makes π the chance-corrected accuracy and the expected false drops an upper bound. Of several starts the likeliest fit is returned.
    Where it does not beat guessing alone by Akaike's criterion (IEEE Transactions on Automatic Control, 1974), π is 0: a model that is
    right exactly once in K rotations is as good as guessing. Raises ValueError for counts out of range, without a single trial, or
    impossible under the given q.
    """
    right, trials, options = _checked(c, n, k)
    useful = (trials > 0) & (options != 1)
    if not useful.any():
        raise ValueError("a mixture needs at least one question with a trial and without a single option only")
    if q is not None and not 0 < q <= 1:
        raise ValueError(f"q {q!r} is not in (0, 1]")
    cells, weights = np.unique(np.stack([right, trials, options])[:, useful], axis=1, return_counts=True)
    data = (cells[0], cells[1], _chance(cells[2]), weights.astype(np.float64))
    identified = bool((trials[useful] > 1).any())
    fixed = q if q is not None else None if identified else 1.0
    floor = float(data[2].max())
    starts = [fixed] if fixed is not None else sorted({max(start, floor + (1 - floor) / 2) for start in _STARTS})
    fits = [_climb(data, q=start, floor=floor, fixed=fixed is not None, limits=(tolerance, max_iterations)) for start in starts]
    pi, found, likelihood, steps, converged = max(fits, key=lambda fit: fit[2])
    guessing = _log_likelihood(data, pi=0.0, q=found)
    if likelihood - guessing <= (1 if fixed is not None else 2):
        pi, likelihood = 0.0, guessing
    posteriors = _posterior(right, trials, _chance(options), pi=pi, q=found)
    return Mixture(pi, found, identified, converged, steps, likelihood, posteriors)


Cells = tuple[Floats, Floats, Floats, Floats]


def _climb(cells: Cells, *, q: float, floor: float, fixed: bool, limits: tuple[float, int]) -> tuple[float, float, float, int, bool]:
    right, trials, guess, weights = cells
    tolerance, most = limits
    pi, before = 0.5, -np.inf
    for step in range(1, most + 1):
        member = _posterior(right, trials, guess, pi=pi, q=q)
        held = weights * member
        pi = float(held.sum() / weights.sum())
        asked = float((held * trials).sum())
        if not fixed and asked > 0:
            q = min(1.0, max(floor, float((held * right).sum()) / asked))
        likelihood = _log_likelihood(cells, pi=pi, q=q)
        if likelihood == -np.inf:
            raise ValueError(f"right answers in some trials of open-ended questions and wrong ones in others are impossible with q {q!r}")
        if likelihood - before <= tolerance * weights.sum():
            return pi, q, likelihood, step, True
        before = likelihood
    return pi, q, before, most, False


def _log_likelihood(cells: Cells, *, pi: float, q: float) -> float:
    right, trials, guess, weights = cells
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(np.log(pi) + _log_binomial(right, trials, q), np.log1p(-pi) + _log_binomial(right, trials, guess))
    return float((weights * mixed).sum())


def _posterior(right: Floats, trials: Floats, guess: Floats, *, pi: float, q: float) -> Floats:
    known, guessed = _log_binomial(right, trials, q), _log_binomial(right, trials, guess)
    with np.errstate(invalid="ignore"):
        odds = known - guessed
    # Both impossible (q = 1 assumed, an open-ended question half right): right answers that no guess can give.
    odds = np.where(np.isnan(odds), np.inf, odds)
    member = expit(logit(np.float64(pi)) + odds) if 0 < pi < 1 else np.full_like(odds, float(pi))
    found: Floats = np.where(guess >= 1, 1.0, member)
    return found


def _log_binomial(right: Floats, trials: Floats, share: Floats | float) -> Floats:
    return np.asarray(xlogy(right, share) + xlog1py(trials - right, np.negative(share)), dtype=np.float64)


def _chance(options: Floats) -> Floats:
    shares = np.zeros_like(options)
    shares[options > 0] = 1 / options[options > 0]
    return shares


def _checked(c: ArrayLike, n: ArrayLike, k: ArrayLike) -> tuple[Floats, Floats, Floats]:
    right, trials, options = (np.array(column) for column in np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (c, n, k))))
    for name, column in (("right answers", right), ("trials", trials), ("options", options)):
        wrong = column[(column < 0) | (column != np.floor(column)) | ~np.isfinite(column)]
        if wrong.size:
            raise ValueError(f"{name} {float(wrong.flat[0])!r} is not a count")
    if (right > trials).any():
        at = int(np.argmax(right > trials))
        raise ValueError(f"{right.flat[at]:.0f} right of {trials.flat[at]:.0f} trials")
    return right, trials, options
