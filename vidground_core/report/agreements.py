"""How far the detectors or judges of a run agree, in pairs and as a matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vidground_core.evaluation.statistics import Rate
from vidground_core.evaluation.statistics_agreement import agreement, jaccard_of_no_rate, kappa_rate, mcnemar
from vidground_core.experiments.audit_rates import difference, resamples_for

from .data import AgreementReport, AuditReport, Estimate, JudgePair

BUNDLES = 10_000
_ESTIMATES = 3

Said = NDArray[np.int8]


def audit_agreements(audits: Sequence[AuditReport]) -> tuple[AgreementReport, ...]:
    """Of each audit with two judges or more, as `vg audit` found it."""
    return tuple(AgreementReport(one.name, one.pairs, one.answered_by) for one in audits if one.pairs)


def agreement_report(said: Mapping[str, Said], groups: NDArray[np.int32]) -> tuple[AgreementReport, ...]:
    """Of what each detector said, one entry a question (1 answered, 0 not, −1 neither); none below two detectors.

    A pair is compared on the questions that both say yes or no to; intervals resample `groups`, one a question,
    numbered from 0; of more than 10,000 questions in as many bundles of groups at most.
    """
    if len(said) < 2:
        return ()
    return (AgreementReport("", tuple(_pairs(said, groups)), _answered_by(list(said.values()))),)


def _pairs(said: Mapping[str, Said], groups: NDArray[np.int32]) -> Iterator[JudgePair]:
    found = list(combinations(said, 2))
    # Bundles of independent videos are independent: their bootstrap estimates the same spread, in a fraction of the time.
    groups = groups % BUNDLES if len(groups) > BUNDLES else groups
    resamples = resamples_for(len(np.unique(groups)), estimates=_ESTIMATES * len(found))
    for first, second in found:
        decided = (said[first] >= 0) & (said[second] >= 0)
        one, other = said[first][decided] == 1, said[second][decided] == 1
        table, videos = agreement(one, other), groups[decided].tolist()
        kappa = kappa_rate(one, other, videos, resamples=resamples) if videos else None
        jaccard = jaccard_of_no_rate(one, other, videos, resamples=resamples) if videos else None
        gap = difference(one, other, videos, resamples=resamples) if videos else None
        p = mcnemar(table).mid_p if table.n else None
        yield JudgePair(first, second, table.n, table.overlap, _estimate(kappa), _estimate(jaccard), _estimate(gap), p)


def _estimate(found: Rate | None) -> Estimate | None:
    return None if found is None else Estimate(found.value, found.low, found.high, found.n)


def _answered_by(said: Sequence[Said]) -> dict[str, int]:
    columns = np.stack(said)
    counts = Counter((columns[:, (columns >= 0).all(axis=0)] == 1).sum(axis=0).tolist())
    return {str(number): counts[number] for number in range(len(said) + 1)}
