from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vidground_core import ConfigError, Tally, Verdict
from vidground_core.config import build
from vidground_core.filters.pass_rate import PassRate, PassRateConfig
from vidground_core.testing import FilterContract

Make = Callable[..., Any]


class TestPassRate(FilterContract):
    component = PassRate
    options = {"detector": "blind-vlm"}  # noqa: RUF012


@pytest.mark.parametrize(
    ("right", "trials", "reason"),
    [
        (0, 8, "never solved"),
        (1, 8, "kept"),
        (7, 8, "kept"),
        (8, 8, "always solved"),
        (1, 1, "fewer than 2 trials: kept"),
        (0, 0, "fewer than 2 trials: kept"),
    ],
)
def test_groups_with_equal_rewards_are_dropped(judged: Make, decided: Make, right: int, trials: int, reason: str) -> None:
    (decision,) = decided(PassRate, [judged("q", {"rollouts": (right, trials)})])
    assert (decision.reason, decision.kept) == (reason, "kept" in reason)


def test_bounds_may_be_narrower(judged: Make, decided: Make) -> None:
    rows = [judged(f"q{right}", {"rollouts": (right, 8)}) for right in (1, 2, 6, 7)]
    decisions = decided(PassRate, rows, low=0.125, high=0.8)
    assert [decision.kept for decision in decisions] == [False, True, True, False]
    assert [decisions[place].reason for place in (0, 3)] == ["solved in 0.125 of trials or less", "solved in 0.8 of trials or more"]


def test_refused_and_unparsed_trials_are_not_solved_and_failed_ones_are_no_trials(question: Make, decided: Make) -> None:
    verdict = Verdict("q", "rollouts", "any", None, None, {"ordered": Tally(8, 4, refused=1, unparsed=1, failed=2)})
    (decision,) = decided(PassRate, [(question("q"), {"rollouts": verdict})])
    assert decision.numbers == {"rate": pytest.approx(4 / 6), "trials": 6.0}


def test_one_of_several_conditions_is_named(question: Make, decided: Make) -> None:
    tallies = {"ordered": Tally(4, 4), "shuffled": Tally(4, 1)}
    row = question("q"), {"frames": Verdict("q", "frames", "any", 1.0, True, tallies), "other": Verdict("q", "other", "any", None, None)}
    assert decided(PassRate, [row], detector="frames/ordered")[0].reason == "always solved"
    assert decided(PassRate, [row], detector="frames/shuffled")[0].kept
    for named in ("frames", "frames/reversed"):
        with pytest.raises(ConfigError, match=f"'{named}' names no condition of its detector; there is: frames/ordered, frames/shuffled"):
            decided(PassRate, [row], detector=named)
    with pytest.raises(ConfigError, match="name the detector whose trials count; there is: frames, other"):
        decided(PassRate, [row])


def test_bounds_that_drop_everything_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"low = 0.5 must lie below high = 0.5, or everything is dropped"):
        build(PassRateConfig, {"low": 0.5, "high": 0.5}, "filter 'pass-rate'")
