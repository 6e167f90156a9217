"""Accuracy per split from a table of answers: pure functions, nothing dropped from a denominator in silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from vidground_core.errors import ConfigError, InputError, nearest
from vidground_core.evaluation.scoring import can_score
from vidground_core.experiments.audit_rates import rate
from vidground_core.records import Question, SetAside, Tally, Verdict
from vidground_core.runs.judged import detector_folders
from vidground_core.runs.layout import Layout
from vidground_core.runs.questions import complete_questions
from vidground_core.tables import read

FULL, ORDERED = "full", "ordered"
# A question is named by its id and, where the verdicts' directory has it, its text: ids of several benchmarks may be the same.
Named = str | tuple[str, str]


@dataclass(frozen=True)
class SplitRule:
    """Which split a question is in besides `full`.

    With verdicts, `ta` is what judges answered without watching and `vg` what they did not; a question without a verdict is in neither.
    Without, `ta` and `vg` are the data set's own tag "label", as every other split is.
    """

    judged: Mapping[Named, bool | None] | None = None
    source: str = ""

    def of(self, question: Question) -> str:
        """The split's name; empty for none."""
        label = question.tags.get("label", "").lower()
        if self.judged is None:
            return label
        answered = self.judged.get((question.id, question.text), self.judged.get(question.id))
        if answered is not None:
            return "ta" if answered else "vg"
        return "" if label in ("ta", "vg") else label


def split_rule(verdicts: Path | Sequence[Path] | None, judge: str = "", ta_when: str = "any") -> SplitRule:
    """The rule for `vg eval --verdicts DIR`, of one directory or several; `judge` names the detectors that count, with commas between.

    `ta_when` says when several judges make a question TA: "any" of them answered it, "all" that came to a verdict did, or at least so many
    (2 of three is VidGround-M1 and M2). Raises InputError where a directory has no verdicts, or none has those of a named judge,
    ConfigError for another `ta_when`, and for a judge or a rule without any verdicts.
    """
    folders, needed = directories(verdicts), _needed(ta_when)
    if not folders:
        _check_no_rule(judge, ta_when)
        return SplitRule()
    tables = [table for folder in folders for table in _tables(folder)]
    there = list(dict.fromkeys(name for _, found in tables for name in found))
    judges = judge.split(",") if judge else there
    for name in judges:
        if name not in there:
            named = " and ".join(repr(str(folder)) for folder in folders)
            raise InputError(f"{named} has no verdicts of a detector {name!r}; {nearest(name, there)}")
    if needed is not None and needed > len(judges):
        raise ConfigError(f"--ta-when {ta_when}: there are only {len(judges)} judges: {', '.join(judges)}")
    said: dict[Named, list[bool]] = {}
    for folder, found in tables:
        names = _names(folder)
        for name in judges:
            for verdict in read(found[name], Verdict) if name in found else ():
                heard = said.setdefault(names.get(verdict.question, verdict.question), [])
                heard += [] if verdict.answered is None else [verdict.answered]
    judged = {question: _is_ta(heard, needed) for question, heard in said.items()}
    named = _JOINED[ta_when].join(judges) if ta_when in _JOINED else f"{ta_when} of {', '.join(judges)}"
    return SplitRule(judged, f"{named} in {', '.join(map(str, folders))}")


def _tables(folder: Path) -> list[tuple[Path, dict[str, Path]]]:
    """The directory with its tables of verdicts by judge, or those below it: an audit of several data sets has one for each."""
    below = sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    for places in ([folder], below):
        if tables := [(place, found) for place in places if (found := detector_folders(Layout(place)))]:
            return tables
    raise InputError(f"{str(folder)!r} has no verdicts: name the output directory of vg detect, vg audit or vg filter")


def directories(verdicts: Path | Sequence[Path] | None) -> list[Path]:
    """One directory, several or none as a list."""
    return [verdicts] if isinstance(verdicts, Path) else list(verdicts or ())


VERDICTS_HINT = "name the output directory of vg detect, vg audit or vg filter by --verdicts DIR"
_JOINED = {"any": " or ", "all": " and "}


def _needed(ta_when: str) -> int | None:
    """The number of judges that make a question TA; None for all of those with a verdict."""
    if ta_when in _JOINED:
        return 1 if ta_when == "any" else None
    if not ta_when.isdecimal() or not int(ta_when):
        raise ConfigError(f"--ta-when {ta_when!r}: expected any, all, or a number of judges from 1 on")
    return int(ta_when)


def _check_no_rule(judge: str, ta_when: str) -> None:
    """Without verdicts there are no judges that could be chosen or counted."""
    for flag, given, unset in (("--judge", judge, ""), ("--ta-when", ta_when, "any")):
        if given != unset:
            raise ConfigError(f"{flag} {given!r}: there are no verdicts; {VERDICTS_HINT}")


def _is_ta(heard: Sequence[bool], needed: int | None) -> bool | None:
    """None where no judge came to a verdict."""
    if not heard:
        return None
    return all(heard) if needed is None else sum(heard) >= needed


def _names(folder: Path) -> dict[str, Named]:
    """The questions by id with their texts, where the directory holds them."""
    table = complete_questions(Layout(folder).questions_folder)
    return {} if table is None else {each.id: (each.id, each.text) for each in read(table.folder, Question)}


@dataclass
class _Scores:
    """What is kept of a split's questions: right or wrong, group, and outcomes that are no answer."""

    right: list[bool] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    seen: list[bool] = field(default_factory=list)

    def add(self, question: Question, verdict: Verdict) -> None:
        self.right.append(verdict.answered is True)
        self.groups.append(question.group or question.id)
        self.seen.append(bool(verdict.conditions))
        tally = verdict.conditions.get(ORDERED, Tally())
        self.tally = Tally(*(getattr(self.tally, name) + getattr(tally, name) for name in _COUNTED))

    def as_json(self) -> dict[str, Any]:
        found = rate(self.right, self.groups)
        trials = self.tally.trials or 1
        shares = {name: getattr(self.tally, name) / trials for name in ("refused", "unparsed", "failed")}
        counts: dict[str, Any] = {"n": len(self.right), "correct": sum(self.right), "accuracy": found.value}
        missing = len(self.seen) - sum(self.seen)
        counts |= {"interval": found.interval, "groups": found.groups, **shares, "missing_media": missing}
        return counts | ({"with_media": self._with_media()} if missing else {})

    def _with_media(self) -> dict[str, Any]:
        """The accuracy on the questions whose media could be shown."""
        rows = [(right, group) for right, group, seen in zip(self.right, self.groups, self.seen, strict=True) if seen]
        if not rows:
            return {"n": 0, "accuracy": None, "interval": None}
        found = rate(*zip(*rows, strict=True))
        return {"n": found.n, "accuracy": found.value, "interval": found.interval}


_COUNTED = ("trials", "correct", "refused", "unparsed", "failed")


def summarise(answers: Iterable[tuple[Question, Verdict]], rule: SplitRule, splits: Sequence[str]) -> dict[str, Any]:
    """`splits` of a benchmark with n, correct, accuracy and 95 % interval clustered by group; `empty` names those without questions.

    `available` names every split that has questions, asked for or not. Where all questions of a split came out alike, the interval is the
    exact binomial bound over groups.

    Every question with a checkable answer is in n: refused, unparsed and failed ones and those whose media cannot be read count as not
    correct, and their shares stand beside; where media are missing, `with_media` is the accuracy on the others. Questions whose answers
    this version cannot check are counted in `not_judged`.
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
    missing = scores[FULL].seen.count(False)
    found = {"splits": shown, "empty": empty, "available": [name for name, kept in scores.items() if kept.right]}
    return {**found, "missing_media": missing, "not_judged": not_judged, "notes": notes}


def check_splits(benchmarks: Iterable[Iterable[Question | SetAside]], rule: SplitRule, splits: Sequence[str]) -> None:
    """Refuses splits none of which has a question, before a model is asked anything: all tables would be empty.

    Reads no further than to the first question of one of the splits. Raises ConfigError.
    """
    there: set[str] = set()
    if FULL in splits or not splits:
        return
    for row in chain.from_iterable(benchmarks):
        if isinstance(row, Question) and can_score(row):
            there |= {FULL, rule.of(row)} - {""}
            if not there.isdisjoint(splits):
                return
    if there:
        asked = " or ".join(map(repr, splits))
        raise ConfigError(f"no benchmark has questions in the split {asked}; {_there(splits, there)}")


def absent_splits(summaries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A note on each split asked for that no summary has questions in."""
    present = {name for one in summaries for name in one["available"]}
    for name in dict.fromkeys(name for one in summaries for name in one["empty"]):
        if name not in present:
            yield f"no benchmark has questions in the split {name!r}; {_there([name], present)}"


def _there(asked: Sequence[str], there: Iterable[str]) -> str:
    """The splits that have questions, and how ta and vg come to have some."""
    return nearest(asked[0], there) + ("; --verdicts DIR says which are ta and vg" if {"ta", "vg"} & set(asked) else "")
