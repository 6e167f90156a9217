"""Statistics of arms: known values, coverage of the intervals, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from vidground_core.evaluation.crossed_spread import detectable, median_bias
from vidground_core.evaluation.statistics import rate
from vidground_core.evaluation.statistics_arms import (
    Cell,
    Difference,
    Resampling,
    arm_difference,
    arm_estimate,
    bootstrap_p,
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


def simulated(seeds: int, apart: float, *, truth: float, trial: int) -> Difference:
    """Two arms on 200 questions of 100 videos: videos differ in difficulty and in what the first arm gains, trainings by `apart`."""
    generator = np.random.default_rng([seeds, trial])
    chance, gain = (np.repeat(generator.normal(0, spread, 100), 2) for spread in (0.1, 0.05))
    first, second = (
        generator.random((seeds, 200)) < 0.5 + chance + extra + generator.normal(0, apart / 2**0.5, (seeds, 1))
        for extra in (truth + gain, 0.0)
    )
    groups = [f"v{index // 2}" for index in range(200)]
    return arm_difference([Cell.of(first, groups)], [Cell.of(second, groups)], resampling=Resampling(seed=trial, resamples=300))


@pytest.mark.parametrize("apart", [0.0, 0.03, 0.08])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_p_values_and_power_are_what_they_say(seeds: int, apart: float) -> None:
    """Few seeds that differ little or much: arms that are equal, then arms that differ by what the first say is detectable."""
    equal = [simulated(seeds, apart, truth=0.0, trial=trial) for trial in range(200)]
    assert np.mean([each.estimate.low <= 0 <= each.estimate.high for each in equal]) >= 0.92
    assert np.mean([each.p < 0.05 for each in equal]) <= 0.08
    assert np.mean([_both(each) for each in equal]) <= 0.07
    least = float(np.median([each.detectable for each in equal]))
    other = [simulated(seeds, apart, truth=least, trial=trial) for trial in range(200, 400)]
    assert 0.65 <= np.mean([_both(each) for each in other]) <= 0.90
    assert np.mean([each.estimate.low <= least <= each.estimate.high for each in other]) >= 0.92


def _both(each: Difference) -> bool:
    return each.p < 0.05 and each.p_seeds is not None and each.p_seeds < 0.05


def test_interval_is_not_wider_than_it_need_be() -> None:
    """With seeds that differ in nothing but chance, the standard error is that of all answers."""
    error = np.median([simulated(5, 0.0, truth=0.0, trial=trial).estimate.error for trial in range(40)])
    assert error == pytest.approx((2 * 0.25 / 1000 + 0.05**2 / 100) ** 0.5, rel=0.15)


def test_one_video_says_nothing_of_the_difference() -> None:
    found = arm_difference([Cell.of([[1, 1, 1, 1]] * 2, "vvvv")], [Cell.of([[0, 0, 1, 0]] * 2, "vvvv")])
    assert (found.estimate.interval, found.p, found.detectable) == ([-1.0, 1.0], 1.0, None)


def test_detectable_of_few_seeds_has_the_power_it_states() -> None:
    """With three seeds the t-test over them finds 80 % of what is so large: its own power, by simulated seeds."""
    least = detectable(0.01, freedom=2)
    seeds = np.random.default_rng(1).normal(least, 0.01 * 3**0.5, (20_000, 3))
    assert np.mean([ttest_1samp(seeds, 0, axis=1).pvalue < 0.05]) == pytest.approx(0.8, abs=0.01)
    assert detectable(0.01, freedom=2000) == detectable(0.01) == pytest.approx(0.028, abs=0.0001)
    assert median_bias(2) == pytest.approx(1.2011, abs=0.0001)


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
