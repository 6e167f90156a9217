"""Statistics of arms: known values, coverage of the intervals, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from vidground_core.evaluation.statistics import rate
from vidground_core.evaluation.statistics_arms import (
    Cell,
    Resampling,
    arm_difference,
    arm_estimate,
    bootstrap_p,
    detectable,
    holm,
    mcnemar,
    paired_t,
)


def test_estimate_is_the_mean_over_seeds_and_questions() -> None:
    found = arm_estimate([Cell.of([[1, 1, 0, 0], [1, 0, 0, 0]], ["a", "a", "b", "c"])])
    assert found.value == pytest.approx(3 / 8)
    assert (found.seeds, found.questions, found.groups) == (2, 4, 3)
    assert found.deviation == pytest.approx(np.std([0.5, 0.25], ddof=1))


def test_with_one_seed_the_interval_is_the_cluster_bootstrap_over_videos() -> None:
    generator = np.random.default_rng(3)
    right, groups = generator.random(400) < 0.6, [f"v{index // 4}" for index in range(400)]
    one, known = arm_estimate([Cell.of(right, groups)]), rate(right, groups)
    assert one.value == pytest.approx(known.value)
    assert one.interval == pytest.approx(known.interval, abs=0.01)
    assert one.deviation is None


def test_spread_of_seeds_widens_the_interval() -> None:
    groups = [str(index) for index in range(300)]
    generator = np.random.default_rng(0)
    alike = generator.random((5, 300)) < 0.5
    apart = np.stack([generator.random(300) < level for level in (0.3, 0.4, 0.5, 0.6, 0.7)])
    narrow, wide = arm_estimate([Cell.of(alike, groups)]), arm_estimate([Cell.of(apart, groups)])
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_several_benchmarks_count_alike_whatever_their_size() -> None:
    small, large = Cell.of([[1, 1]], ["a", "b"]), Cell.of([[0] * 100], [str(index) for index in range(100)])
    assert arm_estimate([small, large]).value == pytest.approx(0.5)


def test_a_single_group_says_nothing_of_the_spread() -> None:
    assert arm_estimate([Cell.of([[1, 0, 1]], ["v"] * 3)]).interval == [0.0, 1.0]


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """100 simulated differences of two arms with random effects of seeds and videos."""
    generator, covered = np.random.default_rng(7), 0
    groups = [f"v{index // 3}" for index in range(120)]
    for trial in range(100):
        video = np.repeat(generator.normal(0, 0.1, 40), 3)
        chance = 0.5 + video
        first = generator.random((6, 120)) < chance + 0.1 + generator.normal(0, 0.03, (6, 1))
        second = generator.random((6, 120)) < chance + generator.normal(0, 0.03, (6, 1))
        found = arm_difference([Cell.of(first, groups)], [Cell.of(second, groups)], resampling=Resampling(seed=trial, resamples=400))
        covered += found.estimate.low <= 0.1 <= found.estimate.high
    assert 88 <= covered <= 100


def test_difference_is_paired() -> None:
    generator = np.random.default_rng(1)
    second = generator.random((4, 200)) < 0.5
    first = second.copy()
    first[:, :20] = True
    groups = [str(index) for index in range(200)]
    found = arm_difference([Cell.of(first, groups)], [Cell.of(second, groups)])
    assert found.estimate.value == pytest.approx(first.mean() - second.mean())
    assert found.lost == 0
    assert found.gained == int((first & ~second).sum())
    assert found.mcnemar is None
    assert found.p < 0.01
    unpaired = arm_estimate([Cell.of(first, groups)]).error
    assert found.estimate.error < unpaired


def test_one_seed_gives_mcnemar_and_no_t_test() -> None:
    found = arm_difference([Cell.of([[1, 1, 1, 0]], "abcd")], [Cell.of([[0, 0, 1, 1]], "abcd")])
    assert (found.gained, found.lost, found.mcnemar, found.p_seeds) == (2, 1, 1.0, None)


def test_mcnemar_within_each_seed() -> None:
    found = arm_difference(
        [Cell.of([[1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0]], "abcdef")], [Cell.of([[0] * 6, [0, 1, 0, 1, 0, 1]], "abcdef")]
    )
    assert found.mcnemar_by_seed == pytest.approx((2 / 2**6, 1.0))
    assert (found.gained, found.lost, found.mcnemar) == (9, 3, None)


def test_draws_are_shared_and_change_no_number() -> None:
    generator = np.random.default_rng(5)
    cells = [Cell.of(generator.random((3, size)) < 0.5, [str(index // 2) for index in range(size)]) for size in (60, 60, 200)]
    shared = Resampling()
    alone = [arm_estimate([cell]) for cell in cells] + [arm_estimate(cells)]
    together = [arm_estimate([cell], resampling=shared) for cell in cells] + [arm_estimate(cells, resampling=shared)]
    assert together == alone
    assert shared.drawn(3, [30]) is shared.drawn(3, [30])


def test_draws_that_need_more_than_their_share_of_memory_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidground_core.evaluation.statistics_arms.KEPT_BYTES", 2 * 100 * (3 + 40))
    draws = Resampling(resamples=100)
    first = draws.drawn(3, [40])
    assert draws.drawn(3, [40]) is first
    draws.drawn(3, [30])
    assert draws.drawn(3, [40]) is not first
    assert np.array_equal(draws.drawn(3, [40])[1], first[1])


@pytest.mark.parametrize(("gained", "lost"), [(10, 2), (0, 0), (5, 5), (0, 7), (31, 14)])
def test_mcnemar_is_the_binomial_test(gained: int, lost: int) -> None:
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(min(1.0, expected))


def test_paired_t_is_scipys() -> None:
    values = [0.03, 0.01, 0.05, -0.01, 0.02]
    assert paired_t(values) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert paired_t([0.1]) is None
    assert paired_t([0.0, 0.0]) == 1.0
    assert paired_t([0.1, 0.1]) == 0.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_bootstrap_p_is_two_sided_and_never_zero() -> None:
    assert bootstrap_p(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert bootstrap_p(np.zeros(999)) == 1.0


def test_detectable_difference_has_the_power_it_states() -> None:
    generator = np.random.default_rng(0)
    least = detectable(0.02)
    found = np.abs(generator.normal(least, 0.02, 20_000)) > 1.959964 * 0.02
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_arms_that_answer_alike_say_nothing_of_what_could_be_seen() -> None:
    same = [Cell.of([[1, 0, 1]], "abc")]
    found = arm_difference(same, same)
    assert (found.estimate.value, found.p, found.detectable) == (0.0, 1.0, None)


def test_arms_on_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="not evaluated on the same questions with the same seeds"):
        arm_difference([Cell.of([[1, 0]], "ab")], [Cell.of([[1, 0]], "ac")])
    with pytest.raises(ValueError, match=r"different numbers of seeds: \[1, 2\]"):
        arm_estimate([Cell.of([[1, 0]], "ab"), Cell.of([[1, 0], [1, 1]], "ab")])
    with pytest.raises(ValueError, match=r"expected \(seeds, questions\)"):
        Cell.of([[1, 0]], "abc")
