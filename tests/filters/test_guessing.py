from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from vidground_core.filters.guessing import NO_CHOICE, Judge, fit_judge

N = 8_000


def trials_of(draw: random.Random, state: str, options: int, trials: int, q: float) -> int:
    if state == "guessed":
        return sum(draw.random() < 1 / options for _ in range(trials))
    own = state == "known" or draw.random() < 1 / options
    share = q if own else (1 - q) / (options - 1)
    return sum(draw.random() < share for _ in range(trials))


def simulated(known: float, convinced: float, *, trials: int, q: float = 0.95, options: Sequence[int] = (4,)) -> tuple[np.ndarray, ...]:
    draw = random.Random(11)
    rows = []
    for _ in range(N):
        count = draw.choice(options)
        state = "known" if draw.random() < known else "convinced" if draw.random() < convinced else "guessed"
        rows.append((trials_of(draw, state, count, trials, q), trials, count))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("convinced", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("options", [(4,), (3, 4, 5)])
def test_shares_are_recovered_from_rotations(convinced: float, options: Sequence[int]) -> None:
    fit = fit_judge(*simulated(0.35, convinced, trials=4, options=options))
    assert fit is not None
    assert fit.known == pytest.approx(0.35, abs=0.04)
    assert fit.convinced == pytest.approx(convinced, abs=0.08)
    assert fit.q == pytest.approx(0.95, abs=0.05)
    assert fit.identified


@pytest.mark.parametrize("convinced", [0.0, 0.6, 1.0])
def test_a_judge_that_knows_nothing_is_found_out_even_where_it_repeats_itself(convinced: float) -> None:
    fit = fit_judge(*simulated(0.0, convinced, trials=4, q=1.0))
    assert fit is not None
    assert fit.known < 0.02
    assert fit.convinced == pytest.approx(convinced, abs=0.06)


def test_one_trial_gives_the_chance_corrected_accuracy() -> None:
    right, trials, options = simulated(0.4, 0.5, trials=1, q=1.0)
    fit = fit_judge(right, trials, options)
    assert fit is not None
    assert fit.known == pytest.approx((right.mean() - 0.25) / 0.75, abs=1e-3)
    assert (fit.q, fit.identified) == (1.0, False)


def test_repeated_answers_are_one_trial_s_worth_of_evidence() -> None:
    """Right in all four or in none: a quarter of the convictions are lucky, however often they are repeated."""
    right = np.array([4] * 500 + [0] * 300)
    fit = fit_judge(right, 4, 4)
    assert fit is not None
    assert fit.known == pytest.approx(1 - 300 / 0.75 / 800, abs=0.01)
    known, unknown = fit.likelihoods([4], [4], [4])
    assert known[0] * fit.known / (known[0] * fit.known + unknown[0] * (1 - fit.known)) == pytest.approx(0.8, abs=0.01)


def test_right_once_in_all_rotations_is_a_guess() -> None:
    fit = fit_judge(np.ones(300, dtype=int), 4, 4)
    assert fit is not None
    assert (fit.known, fit.convinced) == (0.0, 0.0)


def test_open_ended_answers_are_known_or_wrong() -> None:
    fit = fit_judge(np.array([10] * 300 + [0] * 700), 10, 0)
    assert fit is not None
    assert fit.known == pytest.approx(0.3, abs=0.01)
    assert fit.likelihoods([10], [10], [0])[1][0] == 0


def test_questions_that_say_nothing_are_left_out() -> None:
    assert fit_judge([0, 1], [0, 1], [4, 1]) is None
    alone, with_single = fit_judge([1, 0, 0], 1, 4), fit_judge([1, 0, 0, 1, 0], [1, 1, 1, 1, 0], [4, 4, 4, 1, 4])
    assert alone == with_single


def test_likelihoods_over_all_outcomes_sum_to_one() -> None:
    from scipy.special import comb

    judge = Judge(0.3, 0.4, 0.9, identified=True)
    right = np.arange(5)
    for likelihood in judge.likelihoods(right, 4, 4):
        assert float((comb(4, right) * likelihood).sum()) == pytest.approx(1)


def test_what_a_judge_is_unsure_of_cannot_be_lucky() -> None:
    """200 right, 30 wrong, 370 without a choice, of four options: 30 / 3 = 10 of the right ones are lucky."""
    right = np.array([1] * 200 + [0] * 400)
    trials = np.array([1] * 230 + [NO_CHOICE] * 370)
    fit = fit_judge(right, trials, 4)
    assert fit is not None
    assert fit.known == pytest.approx(190 / 600, abs=1e-3)
    assert fit.chooses == pytest.approx(40 / 410, abs=1e-3)
    known, unknown = fit.likelihoods([1, 0, 0], [1, 1, NO_CHOICE], [4, 4, 4])
    p_known = known * fit.known / (known * fit.known + unknown * (1 - fit.known))
    assert p_known == pytest.approx([0.95, 0, 0], abs=1e-3)
    assert float(unknown.sum()) == pytest.approx(1)
