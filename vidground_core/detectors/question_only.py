"""The question-only classifier: what a small text model learns from the set itself, without any video."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from vidground_core.detectors.base import Corpus, CorpusDetector, DetectorConfig, Stages
from vidground_core.records import Question, Tally, Verdict

if TYPE_CHECKING:
    from vidground_core.detectors.question_classifier import HeldOut

CONDITION = "text"
_RULE = "held-out argmax"


class QuestionOnlyConfig(DetectorConfig):
    """Options of the detector."""

    folds: int = Field(5, ge=2, le=100, description="Folds of the cross-validation, grouped by video.")
    seed: int = Field(0, ge=0, description="Seed of the shuffle that deals videos out to folds.")
    c: float = Field(1.0, gt=0, description="Inverse of the classifier's L2 penalty; smaller is simpler.")
    max_features: int = Field(
        50_000, ge=1, description="Most terms of each kind (option, question by option, question by form) that are used."
    )
    random_folds: bool = Field(True, description="Also predict with folds that split videos, to show how much that leaks.")


class QuestionOnly(CorpusDetector[QuestionOnlyConfig]):
    """A linear text classifier, cross-validated on the set itself in folds grouped by video.

    The test-set stress test of Brown et al. (arXiv 2511.04655) with a logistic regression over (question, option) pairs. `shortcut` is the
    held-out P(gold): the odds of each option, normalised over the question's options; `answered` is whether the largest is the gold's
    (the first of equals). Scores: `p_gold`, `chance` (1/options), `margin` (their difference) and, with `random_folds`,
    `random_folds_p_gold` and `random_folds_right` (1 or 0). A high value asks for review; a low one does not prove grounding.
    """

    name = "question-only"
    version = "1"
    Config = QuestionOnlyConfig

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        """One verdict a question. Questions without options get none: their evidence says so."""
        from vidground_core.detectors.question_classifier import CrossValidation, Fitting

        rows: list[tuple[str, tuple[str, ...]]] = []
        gold, groups = array("l"), list[str]()
        for question in corpus:
            if question.gold is not None:
                rows.append((question.text, question.options))
                gold.append(question.gold)
                groups.append(question.group or question.id)
        settings = self.config
        fitting = Fitting(folds=settings.folds, seed=settings.seed, c=settings.c, max_features=settings.max_features)
        validation = CrossValidation(rows, gold, fitting)
        grouped = validation.predict(groups, stages, "grouped", explain=True)
        alone = [str(row) for row in range(len(rows))]
        random = validation.predict(alone, stages, "random") if settings.random_folds else None
        row = 0
        for question in corpus:
            if question.gold is None:
                yield self._none(question, "no options: this classifier judges questions with options only")
            else:
                yield self._verdict(question, row, grouped, random)
                row += 1

    def _verdict(self, question: Question, row: int, grouped: HeldOut, random: HeldOut | None) -> Verdict:
        gold = question.gold or 0
        if len(question.options) > 1 and grouped.fold[row] < 0:
            return self._none(question, "no other video has a question with options, so there is nothing to learn from")
        p_gold, right, chosen = _choice(grouped, row, gold)
        scores = {"p_gold": p_gold, "chance": question.chance, "margin": p_gold - question.chance}
        if random is not None:
            random_p_gold, random_right, _ = _choice(random, row, gold)
            scores |= {"random_folds_p_gold": random_p_gold, "random_folds_right": float(random_right)}
        return Verdict(
            question=question.id,
            detector=self.name,
            rule=_RULE,
            shortcut=p_gold,
            answered=right,
            conditions={CONDITION: Tally(trials=1, correct=int(right), p_gold=p_gold)},
            scores=scores,
            evidence=self._evidence(question, row, grouped, chosen),
        )

    def _evidence(self, question: Question, row: int, grouped: HeldOut, chosen: int) -> tuple[str, ...]:
        if len(question.options) == 1:
            return ("there is one option only",)
        few = f", as there are only {grouped.folds} videos" if grouped.folds < self.config.folds else ""
        lines = [
            f"fold {grouped.fold[row] + 1} of {grouped.folds}{few}",
            f"chose {question.options[chosen]!r} with P = {grouped.options(row)[chosen]:.2f}",
        ]
        return (*lines, f"for it spoke: {grouped.reasons[row]}") if grouped.reasons[row] else tuple(lines)

    def _none(self, question: Question, reason: str) -> Verdict:
        return Verdict(question=question.id, detector=self.name, rule=_RULE, shortcut=None, answered=None, evidence=(reason,))


def _choice(held_out: HeldOut, row: int, gold: int) -> tuple[float, bool, int]:
    """P(gold), whether the most probable option is the gold, and which option that is."""
    probabilities = held_out.options(row)
    chosen = int(probabilities.argmax())
    return float(probabilities[gold]), chosen == gold, chosen
