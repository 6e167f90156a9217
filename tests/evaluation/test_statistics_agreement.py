from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, jaccard_score
from statsmodels.stats.contingency_tables import mcnemar as published_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa

from vidground_core.evaluation.statistics_agreement import Agreement, agreement, jaccard_of_no_rate, kappa_rate, mcnemar

# Answered blind by GPT, Qwen (4 rotations) and Gemini; Video-R1-260K, from the published card of the M2 set.
TRUTH = {
    "NNN": 96_551,
    "NYN": 33_330,
    "NNY": 9_500,
    "YNN": 8_469,
    "YYY": 56_840,
    "NYY": 42_329,
    "YYN": 13_070,
    "YNY": 2_982,
}


def between(first: int, second: int) -> Agreement:
    cells = {pair: sum(n for row, n in TRUTH.items() if row[first] + row[second] == pair) for pair in ("YY", "YN", "NY", "NN")}
    return Agreement(cells["YY"], cells["YN"], cells["NY"], cells["NN"])


@pytest.mark.parametrize(("first", "second", "kappa"), [(0, 1, 0.36), (0, 2, 0.41), (1, 2, 0.56)])
def test_kappas_of_the_papers_judges(first: int, second: int, kappa: float) -> None:
    table = between(first, second)
    assert table.n == 263_071
    assert table.kappa == pytest.approx(kappa, abs=0.005)
    published = cohens_kappa([[table.both, table.first_only], [table.second_only, table.neither]])
    assert table.kappa == pytest.approx(published.kappa, rel=1e-12)


def test_jaccard_of_the_vg_sets_of_gpt_and_the_policy() -> None:
    # VG by GPT 181,710, by Qwen on-policy 198,652, by both 154,860 of 263,071.
    both_vg, gpt, qwen, n = 154_860, 181_710, 198_652, 263_071
    table = Agreement(n - gpt - qwen + both_vg, qwen - both_vg, gpt - both_vg, both_vg)
    assert (table.n, round(table.jaccard_of_no or 0, 4)) == (n, 0.6867)


def test_85_percent_may_be_a_kappa_of_a_third() -> None:
    table = Agreement(both=5, first_only=8, second_only=7, neither=80)
    assert table.overlap == 0.85
    assert table.kappa == pytest.approx(0.314, abs=1e-3)


def test_tables_from_judgements_are_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    first = draw.random(500) < 0.4
    second = np.where(draw.random(500) < 0.7, first, draw.random(500) < 0.5)
    table = agreement(first, second)
    assert table.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert table.jaccard == pytest.approx(jaccard_score(first, second))
    assert table.jaccard_of_no == pytest.approx(jaccard_score(~first, ~second))
    found = kappa_rate(first, second, list(range(500)))
    assert found is not None
    spread = cohens_kappa([[table.both, table.first_only], [table.second_only, table.neither]]).std_kappa
    assert found.value == pytest.approx(table.kappa)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(spread, rel=0.08)
    of_no = jaccard_of_no_rate(first, second, [i // 5 for i in range(500)])
    assert of_no is not None
    assert of_no.value == pytest.approx(table.jaccard_of_no)
    assert of_no.low < of_no.value < of_no.high


def test_what_is_not_defined_is_none() -> None:
    empty, agreed = Agreement(0, 0, 0, 0), agreement([True] * 3, [True] * 3)
    assert (empty.kappa, empty.overlap, empty.jaccard) == (None, None, None)
    assert (agreed.kappa, agreed.overlap, agreed.jaccard, agreed.jaccard_of_no) == (None, 1, 1, None)
    assert kappa_rate([True], [True], ["v"]) is None
    assert jaccard_of_no_rate([True], [True], ["v"]) is None
    with pytest.raises(ValueError, match=r"judgements of shape \(2,\) and \(1,\)"):
        agreement([True, False], [True])


def test_mcnemar_meets_the_published_examples() -> None:
    # The worked example of Fagerland, Lydersen and Laake (2013), table 1: 2·9/256, and 8/256 less.
    found = mcnemar(Agreement(1, 1, 7, 12))
    assert (round(found.exact, 4), round(found.mid_p, 4)) == (0.0703, 0.0391)


def test_mcnemar_is_statsmodels_and_half_the_point_less() -> None:
    for first, second in product((0, 1, 5, 40), (0, 1, 6, 55)):
        found = mcnemar(Agreement(10, first, second, 10))
        assert found.exact == pytest.approx(published_mcnemar([[10, first], [second, 10]], exact=True).pvalue)
        if first + second:
            assert found.exact == pytest.approx(binomtest(first, first + second, 0.5).pvalue)
            assert found.mid_p < found.exact
    assert mcnemar(Agreement(3, 0, 0, 3)).mid_p == 1
    assert mcnemar(Agreement(0, 2, 2, 0)).mid_p == pytest.approx(1 - 0.375 / 2)
