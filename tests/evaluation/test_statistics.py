from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api
from scipy import stats
from sklearn.metrics import roc_auc_score

from vidground_core.evaluation.statistics import (
    auroc,
    auroc_rate,
    chance,
    chance_corrected,
    difference,
    guess_probability,
    least_right,
    rate,
    rate_above_chance,
)


def clustered(seed: int = 0, groups: int = 200, size: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Right answers that agree within a video: each video has an ability of its own."""
    draw = np.random.default_rng(seed)
    videos = np.repeat(np.arange(groups), size)
    right = draw.random(groups * size) < draw.beta(1, 1, groups)[videos]
    return right.astype(float), videos


def test_chance_is_the_mean_of_one_over_k() -> None:
    assert chance([4] * 7) == 0.25
    assert chance([2, 4, 0]) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="chance of no questions"):
        chance([])


def test_chance_corrected_accuracy_is_kappa_against_chance() -> None:
    assert chance_corrected(0.25, 0.25) == 0
    assert chance_corrected(1, 0.25) == 1
    # Qwen2.5-VL-7B blind on VideoMME: 39.2 at chance 25.
    assert chance_corrected(0.392, 0.25) == pytest.approx(0.1893, abs=1e-4)
    assert chance_corrected(1, 1) is None


def test_an_interval_over_videos_is_as_wide_as_a_cluster_robust_one() -> None:
    right, videos = clustered()
    found = rate(right, videos.tolist())
    assert (found.value, found.n, found.groups) == (right.mean(), 1000, 200)
    robust = statsmodels.api.OLS(right, np.ones_like(right)).fit(cov_type="cluster", cov_kwds={"groups": videos})
    naive = np.sqrt(right.var() / len(right))
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(robust.bse[0], rel=0.05)
    assert robust.bse[0] > 1.3 * naive


def test_an_interval_over_single_questions_is_scipys() -> None:
    right = (np.random.default_rng(1).random(400) < 0.3).astype(float)
    found = rate(right, list(range(400)))
    published = stats.bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2))
    assert found.interval == pytest.approx(list(published.confidence_interval), abs=0.006)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = [rate(*_as_lists(clustered(seed, groups=60, size=4)), resamples=400) for seed in range(200)]
    assert 0.90 <= np.mean([found.low <= 0.5 <= found.high for found in covered]) <= 0.99


def _as_lists(values: tuple[np.ndarray, np.ndarray]) -> tuple[list[float], list[int]]:
    return values[0].tolist(), values[1].tolist()


def test_the_same_seed_gives_the_same_interval() -> None:
    right, videos = clustered()
    assert rate(right, videos.tolist(), seed=3) == rate(right, videos.tolist(), seed=3)
    assert rate(right, videos.tolist(), seed=3) != rate(right, videos.tolist(), seed=4)


def test_a_paired_difference_is_narrower_than_two_apart() -> None:
    right, videos = clustered()
    flipped = np.where(np.random.default_rng(5).random(len(right)) < 0.05, 1 - right, right)
    found = difference(right, flipped, videos.tolist())
    assert found.value == pytest.approx(right.mean() - flipped.mean())
    assert found.high - found.low < 0.5 * (rate(right, videos.tolist()).high - rate(right, videos.tolist()).low)
    paired = statsmodels.api.OLS(right - flipped, np.ones_like(right)).fit(cov_type="cluster", cov_kwds={"groups": videos})
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(paired.bse[0], rel=0.06)


def test_the_rate_above_chance_resamples_both_means() -> None:
    right, videos = clustered()
    chances = np.where(videos % 2, 0.25, 0.5)
    found = rate_above_chance(right, chances, videos.tolist())
    assert found is not None
    assert found.value == pytest.approx(chance_corrected(right.mean(), chances.mean()))
    assert found.low < found.value < found.high
    assert rate_above_chance(right, np.ones_like(right), videos.tolist()) is None


def test_one_video_says_nothing_of_others() -> None:
    assert rate([1, 0, 1], ["v"] * 3).interval == [0, 1]
    assert difference([1, 0, 1], [0, 0, 0], ["v"] * 3).interval == [-1, 1]


def test_values_must_fit_their_groups() -> None:
    with pytest.raises(ValueError, match=r"values of shape \(2,\) and 3 groups"):
        rate([1, 0], [1, 2, 3])
    with pytest.raises(ValueError, match="a rate of no values"):
        rate([], [])


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_scikit_learns_and_the_mann_whitney_share(ties: bool) -> None:
    draw = np.random.default_rng(7)
    labels = draw.random(300) < 0.3
    scores = np.round(draw.normal(labels * 1.0, 1), 1 if ties else 12)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    pairs = stats.mannwhitneyu(scores[labels], scores[~labels]).statistic / (labels.sum() * (~labels).sum())
    assert auroc(scores, labels) == pytest.approx(pairs)


def test_the_interval_of_auroc_is_as_wide_as_hanley_and_mcneils() -> None:
    draw = np.random.default_rng(8)
    labels = draw.random(600) < 0.4
    scores = draw.normal(labels * 1.0, 1)
    found = auroc_rate(scores, labels, list(range(600)))
    area, positives, negatives = found.value, labels.sum(), (~labels).sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)) / (positives * negatives)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(np.sqrt(variance), rel=0.1)
    with pytest.raises(ValueError, match="AUROC needs positives and negatives"):
        auroc([1, 2], [True, True])


@pytest.mark.parametrize(
    ("options", "table"),
    [
        (4, {1: None, 2: None, 3: 3, 5: 4, 8: 5, 10: 6}),
        (5, {2: 2, 4: 3, 10: 5}),
        (3, {3: 3, 10: 7}),
        (2, {5: 5, 10: 9}),
        (10, {2: 2}),
        (1, {10: None}),
        (0, {1: 1}),
    ],
)
def test_the_least_number_right_that_guessing_does_not_explain(options: int, table: dict[int, int | None]) -> None:
    assert {trials: least_right(trials, options) for trials in table} == table


def test_guess_probabilities_are_scipys_binomial_test() -> None:
    for right, trials, options in ((3, 3, 4), (5, 8, 4), (0, 3, 2), (9, 10, 2), (40, 100, 3)):
        expected = stats.binomtest(right, trials, 1 / options, alternative="greater").pvalue
        assert guess_probability(right, trials, options) == pytest.approx(expected)
    # Blind pass@10 of a guesser among four options, as published.
    assert guess_probability(1, 10, 4) == pytest.approx(0.944, abs=5e-4)
    with pytest.raises(ValueError, match="3 right of 2 trials with 4 options"):
        guess_probability(3, 2, 4)


def test_memory_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    right, videos = clustered(groups=30)
    labels = np.random.default_rng(9).random(len(right)) < 0.5
    whole = rate(right, videos.tolist()), auroc_rate(right, labels, videos.tolist(), resamples=300)
    monkeypatch.setattr("vidground_core.evaluation.statistics._CELLS", 1_000)
    assert (rate(right, videos.tolist()), auroc_rate(right, labels, videos.tolist(), resamples=300)) == whole


def test_scores_must_fit_labels_and_groups() -> None:
    with pytest.raises(ValueError, match=r"scores of shape \(2,\) and labels of shape \(3,\)"):
        auroc([1, 2], [True, False, True])
    with pytest.raises(ValueError, match="2 scores and 3 groups"):
        auroc_rate([1, 2], [True, False], [1, 2, 3])
