"""What voting took and brought: frames, replies and agreement by split, from a table of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from vidground_core.experiments.audit_rates import difference, rate
from vidground_core.experiments.splits import FULL, SplitRule
from vidground_core.records import Question, Verdict


def votes_taken(answers: Iterable[tuple[Question, Verdict]], rule: SplitRule, splits: Sequence[str]) -> dict[str, Any]:
    """Of the questions voted on, by split: `n`, `frames` (questions by the number of frames that decided), `mean_frames`, `mean_replies`
    (all rounds), `unanimous` (share whose deciding votes all agree), `first` (accuracy of the vote at the number of frames it began with)
    and `gain` of the final vote over it, with `interval`s clustered by video.
    """
    rows: dict[str, list[tuple[Verdict, str]]] = {}
    for question, verdict in answers:
        if "frames" in verdict.scores:
            for split in dict.fromkeys((FULL, rule.of(question))):
                rows.setdefault(split, []).append((verdict, question.group or question.id))
    return {split: _taken(rows[split]) for split in splits if split in rows}


def _taken(rows: Sequence[tuple[Verdict, str]]) -> dict[str, Any]:
    groups = [group for _, group in rows]
    scores = [verdict.scores for verdict, _ in rows]
    first = rate([each["first"] for each in scores], groups)
    gain = difference([float(verdict.answered is True) for verdict, _ in rows], [each["first"] for each in scores], groups)
    frames = Counter(int(each["frames"]) for each in scores)
    return {
        "n": len(rows),
        "frames": {str(number): frames[number] for number in sorted(frames)},
        "mean_frames": sum(number * count for number, count in frames.items()) / len(rows),
        "mean_replies": sum(each["replies"] for each in scores) / len(rows),
        "unanimous": sum(each["agreement"] == 1 for each in scores) / len(rows),
        "first": {"accuracy": first.value, "interval": first.interval},
        "gain": {"value": gain.value, "interval": gain.interval},
    }
