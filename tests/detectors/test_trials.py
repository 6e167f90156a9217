"""Rules over trials, pass@k, normalisation of option texts."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from vidground_core import Reply
from vidground_core.detectors.trials import Outcome, Trial, decide, normalised, pass_at_k, passes, softmax, tally, usable


def trials(*outcomes: Outcome) -> list[Trial]:
    return [Trial(outcome, "") for outcome in outcomes]


def published_pass_at_k(n: int, c: int, k: int) -> float:
    """The numerically stable form printed in figure 3 of arXiv 2107.03374."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def test_pass_at_k_is_the_published_estimate() -> None:
    for n in range(1, 13):
        for c in range(n + 1):
            for k in range(1, n + 1):
                assert pass_at_k(n, c, k) == pytest.approx(published_pass_at_k(n, c, k))


def test_pass_at_k_is_the_share_of_draws_with_a_right_one() -> None:
    right = [True, False, False, True, False, False]
    drawn = list(combinations(right, 3))
    assert pass_at_k(6, 2, 3) == pytest.approx(sum(any(each) for each in drawn) / len(drawn))


def test_pass_at_k_of_too_few_replies() -> None:
    assert pass_at_k(2, 0, 3) is None
    assert pass_at_k(2, 1, 3) == 1.0


def test_refused_replies_are_draws_and_failed_ones_are_none() -> None:
    assert passes(trials("correct", "refused", "unparsed", "wrong"), 1) == 0.25
    assert passes(trials("correct", "failed", "failed", "wrong"), 1) == 0.5
    assert passes(trials("wrong", "failed"), 2) is None
    assert passes(trials("refused", "failed"), 1) is None


def test_the_rule_decides_only_what_missing_answers_cannot_change() -> None:
    assert decide(trials("correct", "correct", "refused"), 2, 0.5) == (1.0, True)
    assert decide(trials("correct", "correct", "refused"), "all", 0.5) == (1.0, None)
    assert decide(trials("wrong", "correct", "refused"), "all", 0.5) == (0.5, False)
    assert decide(trials("refused", "failed"), "any", 0.5) == (None, None)


def test_a_tally_adds_up() -> None:
    found = tally(trials("correct", "wrong", "refused", "unparsed", "failed", "failed"))
    assert (found.trials, found.correct, found.refused, found.unparsed, found.failed, found.p_gold) == (6, 1, 1, 1, 2, None)


def test_texts_are_normalised_by_length_or_by_what_they_have_anyway() -> None:
    reply = Reply("answered", logprobs=(-2.0, -6.0), tokens=(1, 3))
    texts, null = ["cat", "a big dog"], {"cat": -1.0, "a big dog": -7.0}
    assert normalised(reply, texts, "none", None) == [-2.0, -6.0]
    assert normalised(reply, texts, "tokens", None) == [-2.0, -2.0]
    assert normalised(reply, texts, "characters", None) == pytest.approx([-2 / 3, -6 / 9])
    assert normalised(reply, texts, "pmi", null) == [-1.0, 1.0]
    assert normalised(reply, texts, "pmi-tokens", null) == pytest.approx([-1.0, 1 / 3])


def test_probabilities_sum_to_one_far_from_zero_too() -> None:
    assert softmax([-1000.0, -1000.0 + math.log(3)]) == pytest.approx([0.25, 0.75])
    assert softmax([-math.inf, 0.0]) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("reply", "good"),
    [
        (Reply("answered", logprobs=(-1.0, -2.0), tokens=(1, 1)), True),
        (Reply("answered", logprobs=(-1.0, -math.inf), tokens=(1, 1)), True),
        (Reply("answered", logprobs=(-1.0,), tokens=(1,)), False),
        (Reply("answered", logprobs=(-1.0, math.nan), tokens=(1, 1)), False),
        (Reply("answered", logprobs=(-math.inf, -math.inf), tokens=(1, 1)), False),
        (Reply("answered", logprobs=(-1.0, -2.0), tokens=(1, 0)), False),
        (Reply("failed", error="x"), False),
    ],
)
def test_log_probabilities_that_can_be_used(reply: Reply, good: bool) -> None:
    assert usable(reply, 2, per_token=True) is good
