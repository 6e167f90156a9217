from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from vidground_core.filters.consensus import Consensus
from vidground_core.filters.drop_answerable import DropAnswerable
from vidground_core.filters.guess_corrected import GuessCorrected
from vidground_core.testing import FilterContract

Make = Callable[..., Any]
N = 6_000


class TestGuessCorrected(FilterContract):
    component = GuessCorrected


def simulated(judged: Make, *, known: float, trials: int, q: float = 0.9, options: Sequence[int] = (4,)) -> tuple[list[Any], list[bool]]:
    draw = random.Random(3)
    rows, truth = [], []
    for place in range(N):
        knows, count = draw.random() < known, draw.choice(options)
        share = q if knows else 1 / count
        rows.append(judged(f"q{place}", {"judge": (sum(draw.random() < share for _ in range(trials)), trials)}, count))
        truth.append(knows)
    return rows, truth


def lost(decisions: Sequence[Any], truth: Sequence[bool]) -> float:
    grounded = [decision for decision, knows in zip(decisions, truth, strict=True) if not knows]
    return sum(not decision.kept for decision in grounded) / len(grounded)


def found(decisions: Sequence[Any], truth: Sequence[bool]) -> float:
    return sum(not decision.kept for decision, knows in zip(decisions, truth, strict=True) if knows) / sum(truth)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("options", [(4,), (2, 3, 4, 5)])
def test_the_stated_share_of_grounded_questions_is_lost_and_no_more(
    judged: Make, decided: Make, rate: float, options: Sequence[int]
) -> None:
    rows, truth = simulated(judged, known=0.4, trials=6, options=options)
    decisions = decided(GuessCorrected, rows, rate=rate)
    assert lost(decisions, truth) <= rate + 3 * (rate * (1 - rate) / (0.6 * N)) ** 0.5
    assert found(decisions, truth) > 0.4  # and it does drop


def test_it_loses_fewer_grounded_questions_than_any_right_answer_does(judged: Make, decided: Make) -> None:
    rows, truth = simulated(judged, known=0.4, trials=4)
    assert lost(decided(Consensus, rows, m=1, rule="any"), truth) == pytest.approx(1 - 0.75**4, abs=0.03)
    assert lost(decided(GuessCorrected, rows), truth) < 0.05 + 0.01


@pytest.mark.parametrize("options", [2, 4, 5])
def test_one_pass_drops_one_in_k_of_what_is_guessed(judged: Make, decided: Make, options: int) -> None:
    rows, truth = simulated(judged, known=0.0, trials=1, options=(options,))
    assert lost(decided(DropAnswerable, rows), truth) == pytest.approx(1 / options, abs=0.02)


def test_one_trial_cannot_hold_a_rate_below_chance_so_nothing_goes(judged: Make, decided: Make) -> None:
    rows, _ = simulated(judged, known=0.4, trials=1)
    decisions = decided(GuessCorrected, rows)
    assert {(decision.kept, decision.reason) for decision in decisions} == {
        (True, "too few trials to hold a false-drop rate of 0.05: kept")
    }
    assert not all(decision.kept for decision in decided(GuessCorrected, rows, rate=0.3))


def test_an_engine_that_only_guesses_loses_nothing(judged: Make, decided: Make) -> None:
    rows, _ = simulated(judged, known=0.0, trials=4)
    assert all(decision.kept for decision in decided(GuessCorrected, rows))


def test_two_of_three_judges_must_know(judged: Make, decided: Make) -> None:
    draw = random.Random(5)
    rows, truth = [], []
    for place in range(N):
        knowing = draw.choice((0, 0, 1, 3))
        right = {f"j{j}": (sum(draw.random() < (0.95 if j < knowing else 0.25) for _ in range(4)), 4) for j in range(3)}
        rows.append(judged(f"q{place}", right))
        truth.append(knowing >= 2)
    decisions = decided(GuessCorrected, rows, m=2)
    assert lost(decisions, truth) <= 0.06
    assert found(decisions, truth) > 0.9


def test_numbers_show_the_probability_and_the_cut(judged: Make, decided: Make) -> None:
    rows, _ = simulated(judged, known=0.4, trials=6)
    dropped = next(decision for decision in decided(GuessCorrected, rows) if not decision.kept)
    assert dropped.numbers["p_ta"] >= dropped.numbers["threshold"] > 0.5
    assert dropped.reason == "P(TA) holds the false-drop rate 0.05"


def test_without_right_answers_to_count_everything_stays_for_that_reason(judged: Make, decided: Make) -> None:
    (decision,) = decided(GuessCorrected, [judged("q", {"one": (0, 0)})])
    assert (decision.kept, decision.reason) == (True, "no judge's right answers can be counted (one counts no right answers): kept")


@pytest.mark.parametrize("convinced", [0.1, 0.5, 1.0])
def test_the_rate_holds_where_guesses_are_repeated_in_every_rotation(judged: Make, decided: Make, convinced: float) -> None:
    draw = random.Random(13)
    rows, truth = [], []
    for place in range(N):
        knows = draw.random() < 0.4
        share = 0.95 if knows else float(draw.random() < 0.25) if draw.random() < convinced else 0.25
        rows.append(judged(f"q{place}", {"judge": (sum(draw.random() < share for _ in range(4)), 4)}))
        truth.append(knows)
    assert lost(decided(GuessCorrected, rows, rate=0.05), truth) <= 0.06
