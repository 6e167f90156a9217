"""The measures of the methods page on steps made by hand: what each says with the method, without it, and where a run shows nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "docs" / "methods_watch.py"


@pytest.fixture(scope="module")
def watch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("methods_watch", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def step(**more: Any) -> dict[str, Any]:
    """Two groups of two rollouts, of 1 and 3 and of 2 and 2 tokens; one of each is right; every token has the same weight."""
    plain = {
        "group": 2,
        "texts": ["A", "A , B", "C", "D"],
        "tokens": [[5], [5, 6, 7], [8, 2], [9, 2]],
        "cut": [True, False, False, False],
        "rewards": [1.0, 0.0, 1.0, 0.0],
        "accuracy": [1.0, 0.0, 1.0, 0.0],
        "advantages": [0.5, -0.5, 0.5, -0.5],
        "shuffled": [0.5, 0.5, 1.0, 1.0],
        "pull": [[0.5], [0.5, 0.5, 0.5], [0.5, 0.5], [0.5, 0.5]],
    }
    return plain | more


def test_the_weight_of_long_rollouts(watch: ModuleType) -> None:
    assert watch.weight_of_long([step()]) == pytest.approx(3 / 8), "their share of the tokens"
    by_rollout = [[0.5], [0.5 / 3] * 3, [0.25, 0.25], [0.25, 0.25]]
    assert watch.weight_of_long([step(pull=by_rollout)]) == pytest.approx(1 / 4), "their share of the rollouts"
    with pytest.raises(ValueError, match="the run shows nothing of this: no rollout with an advantage"):
        watch.weight_of_long([step(advantages=[0.0] * 4)])


def test_the_pull_of_cut_rollouts(watch: ModuleType) -> None:
    assert watch.pull_of_cut([step()]) == pytest.approx(1 / 8)
    assert watch.pull_of_cut([step(pull=[[0.0], [0.5] * 3, [0.5, 0.5], [0.5, 0.5]])]) == 0
    for cut in ([True] * 4, [False] * 4):
        with pytest.raises(ValueError, match="rollouts are all cut off, or none is"):
            watch.pull_of_cut([step(cut=cut)])


def test_the_inflation_of_groups_of_low_variance(watch: ModuleType) -> None:
    one_of_four, two_of_four = [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]
    plain = [0.75, -0.25, -0.25, -0.25, 0.5, 0.5, -0.5, -0.5]
    shown = {"group": 4, "rewards": one_of_four + two_of_four}
    assert watch.inflation([step(**shown, advantages=plain)]) == pytest.approx(1)
    # Sample deviations .5 and 3^-1/2.
    scaled = [value / 0.5 for value in plain[:4]] + [value * 3**0.5 for value in plain[4:]]
    assert watch.inflation([step(**shown, advantages=scaled)]) == pytest.approx(2 / 3**0.5)
    for rewards in (one_of_four * 2, [1.0] * 8):
        with pytest.raises(ValueError, match="no groups of different variance"):
            watch.inflation([step(group=4, rewards=rewards, advantages=plain)])


def test_the_weight_of_tokens_after_rollouts_have_parted(watch: ModuleType) -> None:
    # Both groups part at their first token.
    parting = {"tokens": [[5, 2], [6, 7, 2], [8, 2], [9, 2]]}
    assert watch.weight_after_parting([step(**parting, pull=[[0.5] * 2, [0.5] * 3, [0.5] * 2, [0.5] * 2])]) == 1
    assert watch.weight_after_parting([step(**parting, pull=[[0.5, 0.85], [0.5, 0.85, 0.85], [0.5, 0.85], [0.5, 0.85]])]) == pytest.approx(
        1.7
    )
    assert watch.weight_after_parting([step(**parting, pull=[[0.85, 0.5], [0.85, 0.5, 0.5], [0.85, 0.5], [0.85, 0.5]])]) < 1
    # Alike for two tokens, so the second is before the parting too.
    alike = {"tokens": [[5, 6, 2], [5, 7, 2], [8, 2], [8, 2]], "pull": [[0.5, 0.5, 0.75], [0.5, 0.5, 0.75], [0.5, 0.9], [0.5, 0.9]]}
    assert watch.weight_after_parting([step(**alike)]) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="no rollout goes on after its group has parted"):
        watch.weight_after_parting([step(tokens=[[5, 2], [5, 2], [8, 2], [8, 2]], pull=[[0.5, 0.5]] * 4)])


def test_the_reward_of_groups_that_pass_the_comparison(watch: ModuleType) -> None:
    # .5 against .5 passes, .5 against 1 does not.
    assert watch.reward_of_passing([step()]) == 0
    assert watch.reward_of_passing([step(rewards=[1.3, 0.0, 1.0, 0.0])]) == pytest.approx(0.3)
    assert watch.reward_of_passing([step(rewards=[1.0, 0.0, 1.3, 0.0])]) == pytest.approx(-0.3)
    for shuffled in ([0.5] * 4, [1.0] * 4, [None] * 4, [0.5, 0.5, None, None]):
        with pytest.raises(ValueError, match="all groups pass the comparison, or none"):
            watch.reward_of_passing([step(shuffled=shuffled)])


def test_the_share_that_names_a_wrong_letter(watch: ModuleType) -> None:
    assert watch.naming("BD")([step(texts=["B"] * 4), step()]) == 0.5, "of the second half"
    assert watch.naming("E")([step()]) == 0
