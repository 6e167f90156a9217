"""The question-only classifier: what a small text model learns from the set itself, without any video."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field

from vidground_core.detectors.base import Corpus, CorpusDetector, DetectorConfig, Stages
from vidground_core.records import Question, Tally, Verdict

if TYPE_CHECKING:
    from vidground_core.detectors.question_classifier import Fitting, HeldOut
    from vidground_core.detectors.question_open_answers import HeldOutAnswers

CONDITION = "text"
_RULE = "held-out argmax"
_BY_VIDEO = "grouped"


class QuestionOnlyConfig(DetectorConfig):
    """Options of the detector."""

    folds: int = Field(5, ge=2, le=100, description="Folds of the cross-validation, grouped by video.")
    seed: int = Field(0, ge=0, description="Seed of the shuffle that deals videos out to folds.")
    c: float = Field(1.0, gt=0, description="Inverse of the classifier's L2 penalty; smaller is simpler.")
    max_features: int = Field(
        50_000, ge=1, description="Most terms of each kind (option, question by option, question by form) that are used."
    )
    answers: int = Field(
        100, ge=1, description="How many frequent answers an open-ended question is classified into, for each kind of question."
    )
    random_folds: bool = Field(True, description="Also predict with folds that split videos, to show how much that leaks.")
    text_folds: bool = Field(
        True, description="Also predict with folds grouped by question text, to show how much rests on questions that recur word for word."
    )
    sibling_folds: bool = Field(
        False,
        description="Also predict with folds that split neither a video nor questions with the same options: in a set balanced by videos"
        " with other answers, such siblings mislead.",
    )


QuestionOnlyConfigT = TypeVar("QuestionOnlyConfigT", bound=QuestionOnlyConfig)


@dataclass
class _Rows:
    """The questions of one kind: what is known of them in columns, and the names of their folds' groups."""

    texts: list[str] = field(default_factory=list)
    options: list[tuple[str, ...]] = field(default_factory=list)
    gold: Any = field(default_factory=lambda: array("l"))
    answers: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def add(self, question: Question) -> None:
        self.texts.append(question.text)
        self.groups.append(question.group or question.id)
        if question.gold is None:
            self.answers.append(question.answer)
        else:
            self.options.append(question.options)
            self.gold.append(question.gold)


class QuestionOnly(CorpusDetector[QuestionOnlyConfigT]):
    """A text classifier, cross-validated on the set itself in folds grouped by video.

    The test-set stress test of Brown et al. (arXiv 2511.04655). Questions with options: a logistic regression over (question, option)
    pairs; `shortcut` is the held-out P(gold), the odds of each option normalised over the question's options, and `answered` whether the
    largest is the gold's (the first of equals). Open-ended questions: a logistic regression from the question to the most frequent answers
    of its kind; `answered` is whether the most probable one is the gold, word for word or number for number.

    Scores: `p_gold`, `chance` (1/options, 0 for open-ended ones), `margin` (their difference); with `random_folds` also
    `random_folds_p_gold` and `random_folds_right` (1 or 0), with `text_folds` and `sibling_folds` the same; for open-ended questions
    `opening_right`, whether the most frequent answer after the question's first two words is right. A high value asks for review; a low one
    does not prove grounding.
    """

    name = "question-only"
    version = "2"
    Config: ClassVar[type[Any]] = QuestionOnlyConfig

    def pair_matrix(self, rows: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[Any, list[str]]:
        """Features of the pairs of questions and options, in order: a matrix (numpy or scipy CSR, float32) and its columns' names, or [].

        Override it for another text model. It is handed no answers, so that no feature can read one.
        """
        from vidground_core.detectors.question_features import pair_features

        features = pair_features(rows, max_features=self.config.max_features)
        return features.matrix, features.names

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        """One verdict a question; one without a judgement where no other video has a question of its kind."""
        kinds: dict[str, _Rows] = {}
        for question in corpus:
            kinds.setdefault(_kind(question), _Rows()).add(question)
        choices = self._choices(kinds.get("", _Rows()), stages)
        answers = {kind: self._answers(kind, rows, stages) for kind, rows in kinds.items() if kind}
        places = dict.fromkeys(kinds, 0)
        for question in corpus:
            kind = _kind(question)
            row = places[kind]
            places[kind] += 1
            yield self._open_verdict(question, row, answers[kind]) if kind else self._verdict(question, row, choices)

    def _choices(self, rows: _Rows, stages: Stages) -> dict[str, HeldOut]:
        from vidground_core.detectors.question_classifier import CrossValidation

        validation = CrossValidation(list(zip(rows.texts, rows.options, strict=True)), rows.gold, self._fitting, self.pair_matrix)
        return {name: validation.predict(groups, stages, name, explain=name == _BY_VIDEO) for name, groups in self._foldings(rows).items()}

    def _answers(self, kind: str, rows: _Rows, stages: Stages) -> dict[str, HeldOutAnswers]:
        from vidground_core.detectors.question_open_answers import OpenCrossValidation

        validation = OpenCrossValidation(rows.texts, rows.answers, self._fitting, answers=self.config.answers)
        return {name: validation.predict(groups, stages, f"{kind}-{name}") for name, groups in self._foldings(rows).items()}

    @property
    def _fitting(self) -> Fitting:
        from vidground_core.detectors.question_classifier import Fitting

        settings = self.config
        return Fitting(folds=settings.folds, seed=settings.seed, c=settings.c, max_features=settings.max_features)

    def _foldings(self, rows: _Rows) -> dict[str, list[str]]:
        """The groups that a fold never splits, by the name of the folding."""
        from vidground_core.detectors.question_features import words
        from vidground_core.detectors.question_siblings import sibling_groups

        foldings = {_BY_VIDEO: rows.groups}
        if self.config.random_folds:
            foldings["random"] = [str(row) for row in range(len(rows.texts))]
        if self.config.text_folds:
            foldings["text"] = [" ".join(words(text)) or text.strip() for text in rows.texts]
        if self.config.sibling_folds and rows.options:
            foldings["sibling"] = sibling_groups(list(zip(rows.texts, rows.options, strict=True)), rows.groups)
        return foldings

    def _verdict(self, question: Question, row: int, foldings: Mapping[str, HeldOut]) -> Verdict:
        gold, grouped = question.gold or 0, foldings[_BY_VIDEO]
        if len(question.options) > 1 and grouped.fold[row] < 0:
            return self._none(question, "no other video has a question with options, so there is nothing to learn from")
        p_gold, right, chosen = _choice(grouped, row, gold)
        others: dict[str, float] = {}
        for name, held_out in foldings.items():
            if name != _BY_VIDEO and (held_out.fold[row] >= 0 or len(question.options) == 1):
                others |= _beside(name, *_choice(held_out, row, gold)[:2])
        return self._judged(question, p_gold, right, others, self._evidence(question, row, grouped, chosen))

    def _open_verdict(self, question: Question, row: int, foldings: Mapping[str, HeldOutAnswers]) -> Verdict:
        from vidground_core.detectors.question_open_answers import normal_answer

        gold, grouped = normal_answer(question.answer), foldings[_BY_VIDEO]
        if grouped.fold[row] < 0:
            return self._none(question, f"no other video has a {question.kind} question without options, so there is nothing to learn from")
        others = {"opening_right": float(grouped.by_opening[row] == gold)}
        for name, held_out in foldings.items():
            if name != _BY_VIDEO and held_out.fold[row] >= 0:
                others |= _beside(name, float(held_out.p_gold[row]), held_out.chosen[row] == gold)
        chosen = grouped.chosen[row]
        said = f"chose {chosen!r} with P = {grouped.probability[row]:.2f}" if chosen else "no answer occurs twice in the other folds"
        evidence = (
            self._fold_of(row, grouped),
            said,
            f"the most frequent answer to questions that begin like it: {grouped.by_opening[row]!r}",
        )
        return self._judged(question, float(grouped.p_gold[row]), bool(chosen) and chosen == gold, others, evidence)

    def _judged(self, question: Question, p_gold: float, right: bool, others: Mapping[str, float], evidence: tuple[str, ...]) -> Verdict:
        return Verdict(
            question=question.id,
            detector=self.name,
            rule=_RULE,
            shortcut=p_gold,
            answered=right,
            conditions={CONDITION: Tally(trials=1, correct=int(right), p_gold=p_gold)},
            scores={"p_gold": p_gold, "chance": question.chance, "margin": p_gold - question.chance, **others},
            evidence=evidence,
        )

    def _evidence(self, question: Question, row: int, grouped: HeldOut, chosen: int) -> tuple[str, ...]:
        if len(question.options) == 1:
            return ("there is one option only",)
        lines = (
            self._fold_of(row, grouped),
            f"chose {question.options[chosen]!r} with P = {grouped.options(row)[chosen]:.2f}",
        )
        return (*lines, f"for it spoke: {grouped.reasons[row]}") if grouped.reasons[row] else lines

    def _fold_of(self, row: int, grouped: HeldOut | HeldOutAnswers) -> str:
        few = f", as there are only {grouped.folds} videos" if grouped.folds < self.config.folds else ""
        return f"fold {grouped.fold[row] + 1} of {grouped.folds}{few}"

    def _none(self, question: Question, reason: str) -> Verdict:
        return Verdict(question=question.id, detector=self.name, rule=_RULE, shortcut=None, answered=None, evidence=(reason,))


def _kind(question: Question) -> str:
    """The kind of an open-ended question, "" where there are options: one classifier serves each."""
    return "" if question.gold is not None else question.kind


def _beside(folding: str, p_gold: float, right: bool) -> dict[str, float]:
    return {f"{folding}_folds_p_gold": p_gold, f"{folding}_folds_right": float(right)}


def _choice(held_out: HeldOut, row: int, gold: int) -> tuple[float, bool, int]:
    """P(gold), whether the most probable option is the gold, and which option that is."""
    probabilities = held_out.options(row)
    chosen = int(probabilities.argmax())
    return float(probabilities[gold]), chosen == gold, chosen
