"""Accuracy per split from a table of answers: pure functions, nothing dropped from a denominator in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidground_core.errors import InputError, nearest
from vidground_core.evaluation.scoring import can_score
from vidground_core.evaluation.statistics import difference, rate
from vidground_core.records import Question, Tally, Verdict
from vidground_core.runs.judged import detector_folders
from vidground_core.runs.layout import Layout
from vidground_core.tables import read

FULL, ORDERED = "full", "ordered"
# What the difference between the video as it is and as it is changed is called.
GAINS = {
    "shuffled": "order_sensitivity",
    "reversed": "direction_sensitivity",
    "single": "multi_frame_gain",
    "mismatched": "video_gain_over_mismatched",
    "blank": "video_gain_over_blank",
}


@dataclass(frozen=True)
class SplitRule:
    """Which split a question is in besides `full`.

    With verdicts, `ta` is what a judge answered without watching and `vg` what it did not; a question without a verdict is in neither.
    Without, `ta` and `vg` are the data set's own tag "label", as every other split is.
    """

    judged: Mapping[str, bool | None] | None = None
    source: str = ""

    def of(self, question: Question) -> str:
        """The split's name; empty for none."""
        label = question.tags.get("label", "").lower()
        if self.judged is None:
            return label
        answered = self.judged.get(question.id)
        if answered is not None:
            return "ta" if answered else "vg"
        return "" if label in ("ta", "vg") else label


def split_rule(verdicts: Path | None, judge: str = "") -> SplitRule:
    """The rule for `vg eval --verdicts DIR`; `judge` names one detector, else a question is TA where any of them answered it.

    Raises InputError where the directory has no verdicts, or none of `judge`.
    """
    if verdicts is None:
        return SplitRule()
    folders = detector_folders(Layout(verdicts))
    if not folders:
        raise InputError(f"{str(verdicts)!r} has no verdicts: name the output directory of vg detect or vg filter")
    if judge and judge not in folders:
        raise InputError(f"{str(verdicts)!r} has no verdicts of a detector {judge!r}; {nearest(judge, folders)}")
    answered: dict[str, bool | None] = {}
    for name, folder in folders.items():
        if judge in ("", name):
            for verdict in read(folder, Verdict):
                before = answered.get(verdict.question)
                answered[verdict.question] = verdict.answered if before is None else before or bool(verdict.answered)
    return SplitRule(answered, f"{judge or ' or '.join(folders)} in {verdicts}")


@dataclass
class _Scores:
    """What is kept of a split's questions: right or wrong, group, and outcomes that are no answer."""

    right: list[bool] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    missing_media: int = 0

    def add(self, question: Question, verdict: Verdict) -> None:
        self.right.append(verdict.answered is True)
        self.groups.append(question.group or question.id)
        self.missing_media += not verdict.conditions
        tally = verdict.conditions.get(ORDERED, Tally())
        self.tally = Tally(*(getattr(self.tally, name) + getattr(tally, name) for name in _COUNTED))

    def as_json(self) -> dict[str, Any]:
        found = rate(self.right, self.groups)
        trials = self.tally.trials or 1
        shares = {name: getattr(self.tally, name) / trials for name in ("refused", "unparsed", "failed")}
        counts: dict[str, Any] = {"n": len(self.right), "correct": sum(self.right), "accuracy": found.value}
        return counts | {"interval": found.interval, "groups": found.groups, **shares, "missing_media": self.missing_media}


_COUNTED = ("trials", "correct", "refused", "unparsed", "failed")


def summarise(answers: Iterable[tuple[Question, Verdict]], rule: SplitRule, splits: Sequence[str]) -> dict[str, Any]:
    """`splits` of a benchmark with n, correct, accuracy and 95 % interval clustered by group; `empty` names those without questions.

    Every question with a checkable answer is in n: refused, unparsed and failed ones and those whose media cannot be read count as not
    correct, and their shares stand beside. Questions whose answers this version cannot check are counted in `not_judged`.
    """
    scores: dict[str, _Scores] = {FULL: _Scores()}
    not_judged = unlabelled = 0
    for question, verdict in answers:
        if not can_score(question):
            not_judged += 1
            continue
        scores[FULL].add(question, verdict)
        own = rule.of(question)
        unlabelled += not own
        if own:
            scores.setdefault(own, _Scores()).add(question, verdict)
    shown = {name: scores[name].as_json() for name in splits if name in scores and scores[name].right}
    notes = []
    if rule.judged is not None and unlabelled:
        notes.append(f"{unlabelled} questions have no verdict of {rule.source} and are in neither ta nor vg")
    if not_judged:
        notes.append(f"{not_judged} questions have answers that this version cannot check and are in no split")
    empty = [name for name in splits if name not in shown]
    return {"splits": shown, "empty": empty, "missing_media": scores[FULL].missing_media, "not_judged": not_judged, "notes": notes}


def compare(answers: Iterable[tuple[Question, Verdict]], rule: SplitRule, splits: Sequence[str], changed: Sequence[str]) -> dict[str, Any]:
    """For each way the video was changed: accuracy by split, and what the right video gains over it, with intervals clustered by video.

    Only questions asked both ways are counted, and both accuracies are of these: `n`, `accuracy` (changed), `ordered`, `gain` (ordered less
    changed, paired) in shares and `interval` of the gain. The gain's name says what it measures: multi-frame gain over a single frame and
    order sensitivity over shuffled frames as in TOMATO (arXiv 2410.23266).
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
    return {"n": len(rows), **shares, "gain": gain.value, "interval": gain.interval}
