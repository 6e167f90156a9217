from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from vidground_core import ConfigError, Verdict
from vidground_core.filters.iterative_pruning import IterativePruning
from vidground_core.testing import FilterContract

Make = Callable[..., Any]


class TestIterativePruning(FilterContract):
    component = IterativePruning
    detectors = ("bias-pruning", "question-only")

    @property
    def rows(self) -> list[Any]:
        found = []
        for place, (asked, said) in enumerate(super().rows):
            pruning = replace(said["bias-pruning"], scores={"round": float(place % 4)} if place % 3 else {})
            found.append((asked, {**said, "bias-pruning": pruning}))
        return found


def pruned(question: Make, rounds: Sequence[int | None]) -> list[Any]:
    rows = []
    for place, number in enumerate(rounds):
        scores = {} if number is None else {"round": float(number)}
        rows.append((question(f"q{place}"), {"bias-pruning": Verdict(f"q{place}", "bias-pruning", "rounds", None, None, scores=scores)}))
    return rows


ROUNDS = (1, 2, None, 1, 3, 0, 2, 3)


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        ({}, {0, 1, 3, 4, 6, 7}),
        ({"rounds": 1}, {0, 3}),
        ({"rounds": 2}, {0, 1, 3, 6}),
        ({"rounds": 0}, set()),
        ({"keep": 3}, {0, 1, 3, 6}),
        ({"keep": 0.75}, {0, 3}),
        ({"keep": 7}, set()),
    ],
)
def test_whole_rounds_are_cut(question: Make, decided: Make, options: dict[str, float], dropped: set[int]) -> None:
    decisions = decided(IterativePruning, pruned(question, ROUNDS), **options)
    assert {place for place, decision in enumerate(decisions) if not decision.kept} == dropped


def test_reasons_say_the_rounds_cut(question: Make, decided: Make) -> None:
    decisions = decided(IterativePruning, pruned(question, ROUNDS), rounds=2)
    assert [decisions[place].reason for place in (0, 2, 4)] == ["pruned in round 1 to 2", "kept", "pruned later: kept"]
    assert decisions[4].numbers == {"round": 3.0}


def test_a_detector_that_writes_no_round_is_refused(question: Make, decided: Make) -> None:
    with pytest.raises(ConfigError, match="'bias-pruning' wrote no score 'round'; run vg detect with the detector bias-pruning, or use"):
        decided(IterativePruning, pruned(question, [None, None]))
    with pytest.raises(ConfigError, match="no verdicts of the detector 'bias-pruning'; there is: other"):
        decided(IterativePruning, [(question("q"), {"other": Verdict("q", "other", "any", None, None)})])
