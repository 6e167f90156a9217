"""What the right video gains over a changed one: named numbers with intervals, from a table of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidground_core.evaluation.scoring import can_score
from vidground_core.evaluation.statistics import cluster_bootstrap
from vidground_core.experiments.audit_rates import alike_bound, difference
from vidground_core.experiments.splits import FULL, ORDERED, SplitRule
from vidground_core.records import Question, Verdict

# What the difference between the video as it is and as it is changed is called.
GAINS = {
    "shuffled": "order_sensitivity",
    "reversed": "direction_sensitivity",
    "single": "multi_frame_gain",
    "mismatched": "video_gain_over_mismatched",
    "blank": "video_gain_over_blank",
}


def compare(answers: Iterable[tuple[Question, Verdict]], rule: SplitRule, splits: Sequence[str], changed: Sequence[str]) -> dict[str, Any]:
    """For each way the video was changed: accuracy by split, and what the right video gains over it, with intervals clustered by video.

    Only questions asked both ways are counted, and both accuracies are of these: `n`, `accuracy` (changed), `ordered`, `gain` (ordered less
    changed, paired) in shares, `interval` of the gain, and `relative` and `relative_interval`, the gain as a share of the accuracy with the
    changed video (None where that is 0). The gain's name says what it measures: multi-frame gain over a single frame and order sensitivity
    over shuffled frames are TOMATO's (Shangguan et al., ICLR 2025, arXiv 2410.23266), which gives them as ratios less one: `relative`.
    """
    pairs: dict[tuple[str, str], list[tuple[bool, bool, str]]] = {}
    for question, verdict in answers:
        if not can_score(question):
            continue
        right = _right(verdict, ORDERED)
        for condition in changed:
            other = _right(verdict, condition)
            if right is None or other is None:
                continue
            for split in dict.fromkeys((FULL, rule.of(question))):
                pairs.setdefault((condition, split), []).append((right, other, question.group or question.id))
    found: dict[str, Any] = {}
    for condition in changed:
        by_split = {split: _compared(pairs[condition, split]) for split in splits if (condition, split) in pairs}
        found[condition] = {"measures": GAINS[condition], "splits": by_split}
    return found


def _right(verdict: Verdict, condition: str) -> bool | None:
    """Whether the question is right under a condition; None where it was not asked. No answer is not right."""
    tally = verdict.conditions.get(condition)
    return None if tally is None or not tally.trials else tally.correct == tally.trials


def _compared(rows: Sequence[tuple[bool, bool, str]]) -> dict[str, Any]:
    ordered, other, groups = zip(*rows, strict=True)
    gain = difference(ordered, other, groups)
    shares = {"accuracy": sum(other) / len(rows), "ordered": sum(ordered) / len(rows)}
    found = {"n": len(rows), **shares, "gain": gain.value, "interval": gain.interval}
    if not any(other):
        return found | {"relative": None, "relative_interval": None}
    columns = np.stack([np.asarray(ordered, dtype=np.float64), np.asarray(other, dtype=np.float64)])
    bounds = (-1.0, len(rows) / sum(other) - 1)
    relative = alike_bound(cluster_bootstrap(columns, groups, _ratio_less_one, bounds=bounds), bounds)
    return found | {"relative": relative.value, "relative_interval": relative.interval}


def _ratio_less_one(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: NDArray[np.float64] = sums[0] / sums[1] - 1
    return ratios


def measures(changed: Mapping[str, Any]) -> dict[str, Any]:
    """What `compare` found, by the names of the measures: for each split the gain as `value`, its `interval`, `n` and the relative gain."""
    return {
        found["measures"]: {
            split: {"value": row["gain"], **{name: row[name] for name in ("interval", "relative", "relative_interval", "n")}}
            for split, row in found["splits"].items()
        }
        for found in changed.values()
    }
