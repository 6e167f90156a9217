"""How far two judges of an audit agree, and whether one is right more often than the other on the same questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vidground_core.evaluation.statistics import Rate
from vidground_core.evaluation.statistics_agreement import Agreement, agreement, jaccard_of_no_rate, kappa_rate, mcnemar
from vidground_core.experiments.audit_columns import Column, Columns, Floats
from vidground_core.experiments.audit_rates import difference, resamples_for

_ESTIMATES = 4


@dataclass(frozen=True)
class Pair:
    """Two judges on the questions of which both say yes (answered, TA) or no (VG).

    `overlap` is the share judged alike, `kappa` Cohen's, `jaccard_vg` that of the two VG sets. `difference` is the share of these questions
    that the first answers minus that of the second, `mcnemar_p` the mid-p of "both answer equally many of them". `shortcut_difference` is
    the mean of the first's score minus the second's where both have one (question-only against a blind probe: Δ against zero-shot); its
    `n` says how many those are.
    """

    first: str
    second: str
    table: Agreement
    kappa: Rate | None
    jaccard_vg: Rate | None
    difference: Rate | None
    shortcut_difference: Rate | None
    mcnemar_p: float | None

    def as_json(self) -> dict[str, Any]:
        """One object of `vg audit --json` under `agreement`; None where it is not defined."""
        counts = {name: getattr(self.table, name) for name in ("n", "both", "first_only", "second_only", "neither", "overlap")}
        found: dict[str, Any] = {"first": self.first, "second": self.second, **counts}
        for name in ("kappa", "jaccard_vg", "difference", "shortcut_difference"):
            found |= with_interval(name, getattr(self, name))
        scored = self.shortcut_difference.n if self.shortcut_difference else 0
        return found | {"shortcut_n": scored, "mcnemar_p": self.mcnemar_p}


def with_interval(name: str, estimate: Rate | None) -> dict[str, Any]:
    """An estimate as two keys, `name` and `name_interval`; None where there is none."""
    return {name: estimate.value if estimate else None, f"{name}_interval": estimate.interval if estimate else None}


def pairs(columns: Columns) -> tuple[Pair, ...]:
    """All pairs of judges, in their order."""
    found = list(combinations(columns.judges.items(), 2))
    groups = columns.groups
    resamples = resamples_for(len(np.unique(groups)), estimates=_ESTIMATES * len(found)) if found else 0
    return tuple(_pair(first, second, groups, resamples) for first, second in found)


def _pair(first: tuple[str, Column], second: tuple[str, Column], groups: Any, resamples: int) -> Pair:
    (first_name, one), (second_name, other) = first, second
    decided = (one.answered >= 0) & (other.answered >= 0)
    said, also = one.answered[decided] == 1, other.answered[decided] == 1
    videos = groups[decided].tolist()
    table = agreement(said, also)
    return Pair(
        first_name,
        second_name,
        table,
        kappa=kappa_rate(said, also, videos, resamples=resamples) if videos else None,
        jaccard_vg=jaccard_of_no_rate(said, also, videos, resamples=resamples) if videos else None,
        difference=difference(said, also, videos, resamples=resamples) if videos else None,
        shortcut_difference=_shortcut_difference(one.shortcut, other.shortcut, groups, resamples),
        mcnemar_p=mcnemar(table).mid_p if table.n else None,
    )


def _shortcut_difference(first: Floats, second: Floats, groups: Any, resamples: int) -> Rate | None:
    there = ~np.isnan(first) & ~np.isnan(second)
    if not there.any():
        return None
    return difference(first[there], second[there], groups[there].tolist(), resamples=resamples)


def answered_by(judges: Mapping[str, Column]) -> dict[str, int]:
    """How many questions 0, 1, 2, … of the judges answer, of the questions that all of them say yes or no to; empty below two judges."""
    if len(judges) < 2:
        return {}
    said = np.stack([column.answered for column in judges.values()])
    counts = Counter((said[:, (said >= 0).all(axis=0)] == 1).sum(axis=0).tolist())
    return {str(number): counts[number] for number in range(len(judges) + 1)}
