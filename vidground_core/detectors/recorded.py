"""Replies or judgements that someone already has, as verdicts: nothing is asked."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import orjson
from pydantic import Field

from vidground_core.detectors.base import Corpus, CorpusDetector, Detector, DetectorConfig, Stages
from vidground_core.detectors.choice_options import Rule
from vidground_core.detectors.multiple_choice import choice_version
from vidground_core.detectors.reading import short
from vidground_core.detectors.trials import Trial, decide, tally
from vidground_core.errors import ConfigError, InputError, nearest
from vidground_core.evaluation.open_ended import Rules
from vidground_core.evaluation.scoring import can_score, score_with_value
from vidground_core.records import Question, Verdict

logger = logging.getLogger(__name__)
_SHOWN = 3
_PLAIN = {"id", "judge", "correct"}


class RecordedConfig(DetectorConfig):
    """Options of recorded."""

    path: str = Field(
        "",
        description='JSON Lines, one judgement a line: {"id", "judge", "reply"} or {"id", "judge", "correct": true}; with "order" (places'
        " of the options as they were shown) where a reply's letters follow another order than the data set's.",
    )
    judges: tuple[str, ...] = Field((), description="Judges to use; all in the file when empty.")
    rule: Rule = Field(
        "mean", description="When a question with several lines of one judge counts as answered: mean of right ones, all, any, or a number."
    )
    threshold: float = Field(0.5, ge=0, le=1, description="For the rule mean: answered above this.")
    rules: Rules = Field("strict", description="How open-ended replies are scored: strict, or video-r1 as its reward has it.")
    sha256: str = Field("", description="The file's checksum: filled in, so that a changed file is another run; refused where it differs.")


class Recorded(CorpusDetector[RecordedConfig]):
    """Takes recorded replies or judgements from a file, one verdict a judge, named `recorded:JUDGE`.

    Replies are read by the same extractor and rules as a model's; several lines of one judge on a question are trials under the rule.
    A question that the judge has no line for gets a verdict without yes or no; lines that match no question are counted and said.
    """

    name = "recorded"
    version = choice_version("1")
    Config: ClassVar[type[Any]] = RecordedConfig

    def expand(self) -> Sequence[Detector[Any]]:
        """One detector a judge, by name. Raises InputError or ConfigError where the file or a judge named is not there."""
        digest, judges = _survey(self.config.path)
        if self.config.sha256 not in ("", digest):
            raise ConfigError(f"detector 'recorded': {self.config.path!r} has the checksum {digest}, not sha256 = {self.config.sha256!r}")
        for judge in self.config.judges:
            if judge not in judges:
                raise ConfigError(f"detector 'recorded': {self.config.path!r} has no judge {judge!r}; {nearest(judge, judges)}")
        made = []
        for judge in self.config.judges or sorted(judges):
            own = type("RecordedJudge", (type(self),), {"name": f"{self.name}:{judge}", "__doc__": type(self).__doc__})
            made.append(own(self.config.model_copy(update={"judges": (judge,), "sha256": digest})))
        return made

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        """One verdict a question, in corpus order; without a file no question is covered (`expand` refuses to run so)."""
        lines = _by_question(self.config.path, self.config.judges) if self.config.path else {}
        found: set[str] = set()
        for question in corpus:
            own = lines.get(question.id, ())
            found |= {question.id} if own else set()
            yield self._verdict(question, own)
        unmatched = [name for name in lines if name not in found]
        if unmatched:
            rows = sum(len(lines[name]) for name in unmatched)
            shown = ", ".join(map(repr, unmatched[:_SHOWN])) + (", …" if len(unmatched) > _SHOWN else "")
            logger.warning("%s: %d lines name %d questions that are not in the data set: %s", self.name, rows, len(unmatched), shown)
        if not found and lines:
            asked = next((question.id for question in corpus), "")
            logger.warning("%s: no question is covered: the file has ids such as %r, the data set %r", self.name, next(iter(lines)), asked)
        elif len(found) < len(corpus):
            logger.warning("%s: %d of %d questions are not covered", self.name, len(corpus) - len(found), len(corpus))

    def _verdict(self, question: Question, lines: Sequence[Mapping[str, Any]]) -> Verdict:
        rule = self._rule_text(len(lines))
        if not lines:
            return Verdict(question.id, self.name, rule, None, None, evidence=("not covered",))
        trials = [self._trial(question, line) for line in lines]
        shortcut, answered = decide(trials, self.config.rule, self.config.threshold)
        evidence = tuple(trial.line for trial in trials)
        return Verdict(question.id, self.name, rule, shortcut, answered, {"recorded": tally(trials)}, evidence=evidence)

    def _rule_text(self, trials: int) -> str:
        if self.config.rule == "mean":
            return f"mean > {self.config.threshold:g}"
        return f"at least {min(self.config.rule, trials)}" if isinstance(self.config.rule, int) else self.config.rule

    def _trial(self, question: Question, line: Mapping[str, Any]) -> Trial:
        if "correct" in line:
            outcome = "correct" if line["correct"] else "wrong"
            return Trial(cast(Any, outcome), f"recorded: {outcome}")
        if not can_score(question):
            return Trial("unparsed", f"recorded: {short(line['reply'])!r}: {question.kind} without options cannot be scored")
        order = tuple(line.get("order", ()))
        if order and sorted(order) != list(range(len(question.options))):
            return Trial("unparsed", f"recorded: the order {list(order)} is none of {len(question.options)} options")
        found, value = score_with_value(question, line["reply"], order, rules=self.config.rules)
        return Trial(found, f"recorded: {short(line['reply'])!r}, {found}", value=value)


def _survey(path: str) -> tuple[str, set[str]]:
    """The file's sha256 and the judges in it."""
    judges: set[str] = set()
    for row in _rows(path):
        judges.add(row["judge"])
    if not judges:
        raise InputError(f"the recorded judgements {path!r} have no line")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), judges


def _by_question(path: str, judges: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in _rows(path, judges):
        if not judges or row["judge"] in judges:
            found.setdefault(row["id"], []).append(row)
    return found


def _rows(path: str, judges: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The lines of the file; with `judges` perhaps without some of others. Raises InputError that names file and line, ConfigError where
    no file is named.
    """
    if not path:
        raise ConfigError("detector 'recorded' reads a file: --set recorded.path=FILE, JSON Lines with id, judge and reply or correct")
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                # A text without a backslash stands in JSON as it is: a line that has none of the judges' names need not be parsed.
                if judges and "\\" not in line and not any(judge in line for judge in judges):
                    continue
                if line.strip():
                    yield _row(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the recorded judgements {path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _parsed(line: str, where: str) -> Any:
    """What the standard library reads beyond orjson, such as NaN; its error names the place."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = _parsed(line, where)
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object with id, judge and reply or correct, found {type(row).__name__}")
    if row.keys() == _PLAIN and type(row["id"]) is type(row["judge"]) is str and type(row["correct"]) is bool:
        return row
    wrong = [key for key in ("id", "judge") if not isinstance(row.get(key), str | int) or isinstance(row.get(key), bool)]
    if wrong:
        if wrong[0] not in row:
            raise InputError(f"{where}: there is no {wrong[0]!r}; {nearest(wrong[0], row)}; expected id, judge and reply or correct")
        raise InputError(f"{where}: {wrong[0]} = {row.get(wrong[0])!r}: expected a text")
    if ("reply" in row) == ("correct" in row):
        raise InputError(f"{where}: expected either 'reply' or 'correct', found {'both' if 'reply' in row else 'neither'}")
    if not isinstance(row.get("reply", ""), str) or not isinstance(row.get("correct", True), bool):
        raise InputError(f"{where}: reply is a text and correct is true or false, found {row.get('reply', row.get('correct'))!r}")
    if not isinstance(row.get("order", []), list):
        raise InputError(f"{where}: order = {row['order']!r}: expected the places of the options as they were shown, such as [1, 2, 0]")
    return row | {"id": str(row["id"]), "judge": str(row["judge"])}
