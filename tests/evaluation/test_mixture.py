from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binom

from vidground_core.evaluation.mixture import MixtureErrors, fit_guessing_mixture
from vidground_core.evaluation.statistics import least_right

Simulated = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def simulated(*, pi: float, q: float, trials: tuple[int, ...], options: tuple[int, ...], rows: int = 20_000, seed: int = 1) -> Simulated:
    """(c, n, k, truly TA) of a set that the model describes."""
    draw = np.random.default_rng(seed)
    n, k = draw.choice(trials, rows), draw.choice(options, rows)
    answerable = draw.random(rows) < pi
    guessed = np.divide(1, k, out=np.zeros(rows), where=k > 0)
    return draw.binomial(n, np.where(answerable, q, guessed)), n, k, answerable


CASES = [
    {"pi": 0.3, "q": 0.9, "trials": (4,), "options": (4,)},
    {"pi": 0.31, "q": 0.85, "trials": (3,), "options": (4, 5)},
    {"pi": 0.6, "q": 0.75, "trials": (4,), "options": (2, 4, 5)},
    {"pi": 0.1, "q": 0.8, "trials": (8, 10), "options": (4,)},
    {"pi": 0.4, "q": 0.7, "trials": (10,), "options": (0,)},
    {"pi": 0.25, "q": 0.9, "trials": (1, 2, 5), "options": (0, 3, 4)},
]


@pytest.mark.parametrize("case", CASES)
def test_the_shares_are_recovered(case: dict[str, object]) -> None:
    c, n, k, _ = simulated(**case)  # type: ignore[arg-type]
    found = fit_guessing_mixture(c, n, k)
    assert found.identified
    assert found.converged
    assert found.pi == pytest.approx(case["pi"], abs=0.015)
    assert found.q == pytest.approx(case["q"], abs=0.015)


@pytest.mark.parametrize("case", CASES)
def test_posteriors_are_calibrated(case: dict[str, object]) -> None:
    c, n, k, answerable = simulated(**case)  # type: ignore[arg-type]
    posteriors = fit_guessing_mixture(c, n, k).posteriors
    for low in np.arange(0, 1, 0.1):
        within = (posteriors >= low) & (posteriors < low + 0.1 + 1e-9)
        if within.sum() > 200:
            error = math.sqrt(0.25 / within.sum())
            assert abs(posteriors[within].mean() - answerable[within].mean()) < 4 * error + 0.01


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("least", [1, 2])
def test_expected_false_drops_and_keeps_are_those_that_happen(case: dict[str, object], least: int) -> None:
    c, n, k, answerable = simulated(**case)  # type: ignore[arg-type]
    dropped = c >= np.minimum(least, n)
    expected = fit_guessing_mixture(c, n, k).expected_errors(dropped)
    lost, kept = int((dropped & ~answerable).sum()), int((~dropped & answerable).sum())
    assert expected.false_drops == pytest.approx(lost, abs=4 * math.sqrt(lost) + 0.04 * lost + 5)
    assert expected.false_keeps == pytest.approx(kept, abs=4 * math.sqrt(kept) + 0.06 * kept + 5)
    assert expected.grounded + expected.answerable == len(c)
    assert expected.false_drop_rate == pytest.approx(lost / (~answerable).sum(), abs=0.02)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("case", CASES)
def test_a_stated_false_drop_rate_is_held(case: dict[str, object], rate: float) -> None:
    c, n, k, answerable = simulated(**case)  # type: ignore[arg-type]
    found = fit_guessing_mixture(c, n, k)
    dropped = found.posteriors >= found.threshold(rate)
    assert found.expected_errors(dropped).false_drop_rate <= rate + 1e-9
    assert (dropped & ~answerable).sum() / (~answerable).sum() <= rate * 1.1 + 0.003
    lower = found.posteriors[~dropped]
    if lower.size:
        wider = found.posteriors >= lower.max()
        assert found.expected_errors(wider).false_drop_rate > rate


def test_em_finds_what_a_general_optimiser_finds() -> None:
    c, n, k, _ = simulated(pi=0.3, q=0.8, trials=(3, 4), options=(4, 5), rows=2000)
    found = fit_guessing_mixture(c, n, k)

    def loss(at: np.ndarray) -> float:
        pi, q = 1 / (1 + np.exp(-at))
        return -float(np.log(pi * binom.pmf(c, n, q) + (1 - pi) * binom.pmf(c, n, 1 / k)).sum())

    best = minimize(loss, x0=[0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000})
    assert [found.pi, found.q] == pytest.approx(1 / (1 + np.exp(-best.x)), abs=2e-4)
    coefficients = -float(np.log(binom.pmf(c, n, 0.5) / 0.5**n).sum())
    assert found.log_likelihood == pytest.approx(-best.fun + coefficients, abs=1e-3)


def test_the_posterior_is_bayes_rule() -> None:
    c, n, k, _ = simulated(pi=0.3, q=0.9, trials=(4,), options=(4,))
    found = fit_guessing_mixture(c, n, k)
    for right in range(5):
        known, guessed = binom.pmf(right, 4, found.q) * found.pi, binom.pmf(right, 4, 0.25) * (1 - found.pi)
        assert float(found.posterior(right, 4, 4)) == pytest.approx(known / (known + guessed))
    assert found.posterior([0, 4], 4, 4) == pytest.approx(found.posterior([0, 4], [4, 4], [4, 4]))
    assert float(found.posterior(0, 0, 4)) == pytest.approx(found.pi)
    assert float(found.posterior(1, 1, 1)) == 1
    assert float(found.posterior(1, 4, 0)) == 1
    assert found.posteriors == pytest.approx(found.posterior(c, n, k))


def test_one_trial_cannot_tell_knowledge_from_luck() -> None:
    c, n, k, answerable = simulated(pi=0.31, q=1.0, trials=(1,), options=(4,))
    found = fit_guessing_mixture(c, n, k)
    assert (found.identified, found.q) == (False, 1.0)
    assert found.pi == pytest.approx((c.mean() - 0.25) / 0.75, abs=1e-5)
    errors = found.expected_errors(c == 1)
    # Each wrong answer stands for 1/(K - 1) lucky ones.
    assert errors.false_drops == pytest.approx((c == 0).sum() / 3, rel=1e-5)
    assert errors.false_keeps == pytest.approx(0, abs=1e-5)
    assert errors.false_drops == pytest.approx(((c == 1) & ~answerable).sum(), rel=0.05)
    surer = fit_guessing_mixture(c, n, k, q=0.9)
    assert (surer.q, surer.identified) == (0.9, False)
    assert surer.pi > found.pi
    assert surer.expected_errors(c == 1).false_drops < errors.false_drops


@pytest.mark.parametrize("pattern", ["guessing", "always A", "below chance"])
def test_a_model_that_knows_nothing_has_no_answerable_questions(pattern: str) -> None:
    c, n, k, _ = simulated(pi=0.0, q=0.9, trials=(4,), options=(4,), seed=3)
    if pattern == "always A":
        c = np.ones_like(c)
    elif pattern == "below chance":
        c = np.minimum(c, 1)
    found = fit_guessing_mixture(c, n, k)
    assert found.pi == 0
    assert found.expected_errors(c >= 3) == MixtureErrors(float((c >= 3).sum()), 0.0, float(len(c)), 0.0)
    assert found.threshold(0.05) == math.inf or (c >= 3).mean() <= 0.05
    assert found.expected_errors(c >= 3).false_keep_rate == 0


def test_a_model_that_knows_everything_guesses_nothing() -> None:
    c, n, k, _ = simulated(pi=1.0, q=0.9, trials=(4,), options=(4,))
    found = fit_guessing_mixture(c, n, k)
    assert found.pi == pytest.approx(1, abs=0.01)
    assert found.expected_errors(np.ones(len(c), dtype=bool)).false_drops < 60


def test_the_binomial_rule_loses_no_more_than_it_says() -> None:
    c, _, _, answerable = simulated(pi=0.3, q=0.9, trials=(5,), options=(4,))
    least = least_right(5, 4)
    assert least == 4
    assert ((c >= least) & ~answerable).sum() / (~answerable).sum() <= 0.05


def test_a_question_with_one_option_says_nothing() -> None:
    c, n, k, _ = simulated(pi=0.3, q=0.9, trials=(4,), options=(4,))
    alone = fit_guessing_mixture(c, n, k)
    joined = fit_guessing_mixture(np.append(c, 4), np.append(n, 4), np.append(k, 1))
    assert (joined.pi, joined.q) == (alone.pi, alone.q)
    assert joined.posteriors[-1] == 1


def test_a_quarter_of_a_million_questions_are_fitted_as_cells() -> None:
    c, n, k, _ = simulated(pi=0.31, q=0.85, trials=(4,), options=(4, 5), rows=263_071)
    found = fit_guessing_mixture(c, n, k)
    assert found.pi == pytest.approx(0.31, abs=0.004)


@pytest.mark.parametrize(
    ("c", "n", "k", "message"),
    [
        ([2], [1], [4], "2 right of 1 trials"),
        ([-1], [1], [4], "right answers -1.0 is not a count"),
        ([0.5], [1], [4], "right answers 0.5 is not a count"),
        ([0], [0], [4], "a mixture needs at least one question with a trial"),
        ([1], [1], [1], "without a single option only"),
    ],
)
def test_counts_that_cannot_be_are_refused(c: list[float], n: list[float], k: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_guessing_mixture(c, n, k)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"q 1.5 is not in \(0, 1\]"):
        fit_guessing_mixture([1], [1], [4], q=1.5)
    with pytest.raises(ValueError, match=r"impossible with q 1\.0"):
        fit_guessing_mixture([1, 0], [2, 2], [0, 0], q=1.0)
    found = fit_guessing_mixture([1, 0, 1], [1, 1, 1], [4, 4, 4])
    with pytest.raises(ValueError, match="2 decisions for 3 questions"):
        found.expected_errors([True, False])
    with pytest.raises(ValueError, match="false-drop rate 2 is not between 0 and 1"):
        found.threshold(2)
