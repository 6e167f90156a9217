"""What differences are said to show: never more than design and numbers allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vidground_core.evaluation.statistics_arms import Cell, arm_difference
from vidground_core.experiments.ablation_verdict import (
    BEYOND_NOISE,
    NOT_SHOWN,
    ONE_SEED,
    SAME,
    UNSURE,
    caveats,
    finding,
    sentence,
    verdicts,
)


def difference(**other: Any) -> dict[str, Any]:
    base = {
        **{"arm": "filtered", "against": "full", "budget": "prompts", "benchmark": "b", "frames": 8, "split": "vg"},
        **{"points": 4.0, "interval": [1.0, 7.0], "seeds": 5, "p": 0.002, "p_adjusted": 0.004, "p_seeds": 0.01},
        **{"gained": 30, "lost": 10, "detectable": 3.5},
    }
    return base | other


@pytest.mark.parametrize(
    ("other", "found", "said"),
    [
        ({}, BEYOND_NOISE, "ahead beyond noise: +4.0 points [+1.0, +7.0], p 0.004 after Holm, over seeds alone 0.010, 5 seeds"),
        ({"points": -4.0, "interval": [-7.0, -1.0]}, BEYOND_NOISE, "behind beyond noise: -4.0 points [-7.0, -1.0]"),
        ({"p_seeds": 0.2, "seeds": 3}, UNSURE, "ahead, but 3 seeds are too few to say so of trainings in general: +4.0 points"),
        (
            {"p_seeds": None, "seeds": 1},
            ONE_SEED,
            "ahead in this one pair of trainings, which says nothing of others: +4.0 points [+1.0, +7.0], p 0.004 after Holm, one seed",
        ),
        ({"p_adjusted": 0.05}, NOT_SHOWN, "no difference shown: +4.0 points [+1.0, +7.0], p 0.050 after Holm"),
        ({"p_adjusted": 0.3}, NOT_SHOWN, "; this design finds 3.5 points with a chance of about 80%"),
        (
            {"gained": 0, "lost": 0, "p_adjusted": 1.0},
            SAME,
            "filtered against full, budget prompts, vg of b, 8 frames: not one answer differs",
        ),
        ({"p_adjusted": 0.0004}, BEYOND_NOISE, "p < .001 after Holm"),
    ],
)
def test_each_finding_has_its_words(other: dict[str, Any], found: str, said: str) -> None:
    each = difference(**other)
    assert finding(each) == found
    assert said in sentence(each)


def test_what_is_held_against_filtered_is_said_from_its_side() -> None:
    """The user's question is whether filtering beats a method, not the other way round."""
    said = sentence(difference(arm="clip-higher", against="filtered"))
    assert said.startswith("filtered against clip-higher, budget prompts, vg of b, 8 frames: behind beyond noise: -4.0 points [-7.0, -1.0]")


def test_arms_that_do_not_differ_are_seldom_said_to() -> None:
    """Five seeds of two methods that are the same, with the spread of seeds and videos that trainings have: 5% at most, by design less."""
    generator, said = np.random.default_rng(11), 0
    groups = [f"v{index // 3}" for index in range(150)]
    for _ in range(60):
        video = np.repeat(generator.normal(0, 0.2, 50), 3)
        arms = [Cell.of(generator.random((5, 150)) < 0.6 + video + generator.normal(0, 0.05, (5, 1)), groups) for _ in range(2)]
        found = arm_difference(arms[:1], arms[1:])
        each = {"gained": found.gained, "lost": found.lost, "p_adjusted": found.p, "p_seeds": found.p_seeds}
        said += finding(each) == BEYOND_NOISE
    assert said <= 6


def result(**other: Any) -> dict[str, Any]:
    places = {"vg": {"benchmark": "b", "frames": 8}}
    arms = [{"name": name, "budget": "prompts", "splits": places} for name in ("full", "filtered", "random-matched")]
    protocol = {"budgets": ["prompts", "vg-prompts"], "seeds": [0, 1, 2], "arms": [arm["name"] for arm in arms]}
    base = {"arms": arms, "protocol": protocol, "missing_runs": [], "differences": [difference(), difference(frames=16)]}
    return base | other


def test_an_interval_without_zero_that_holm_takes_back_is_explained() -> None:
    assert "(the interval is that of one comparison, without Holm)" in sentence(difference(p_adjusted=0.06))
    assert "without Holm" not in sentence(difference(p_adjusted=0.06, interval=[-7.0, 1.0]))


def test_verdicts_are_those_of_the_places_that_stand_for_the_arms() -> None:
    (only,) = verdicts(result())
    assert only["finding"] == BEYOND_NOISE
    assert (only["arm"], only["against"], only["frames"]) == ("filtered", "full", 8)


def test_what_the_design_leaves_open_is_said() -> None:
    assert list(caveats(result())) == []
    older = {"budgets": ["prompts", "vg-prompts"], "seeds": [0, 1, 2]}
    assert list(caveats(result(protocol=older))) == []
    thin = {"arms": [], "missing_runs": ["x", "y"], "protocol": {"budgets": ["prompts"], "seeds": [0], "arms": []}}
    assert list(caveats(result(**thin))) == [
        "unfinished: 2 runs are missing; the numbers are those of the runs that are done",
        "with equal prompts a smaller set meets more grounded prompts than full: add the budget vg-prompts to tell that apart",
        "one seed: at least three are needed to say anything of the method rather than of these trainings",
        "no arm full and no arm filtered and no arm random-matched: what a filter does cannot be told from what a smaller set does",
    ]
