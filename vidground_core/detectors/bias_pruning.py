"""Iterative bias pruning: which questions a text model keeps getting right, dropped batch after batch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from vidground_core.detectors.base import Corpus, CorpusDetector, DetectorConfig, Stages
from vidground_core.records import Question, Tally, Verdict

if TYPE_CHECKING:
    from vidground_core.detectors.bias_pruning_rounds import Pruned

CONDITION = "text"
_RULE = "pruned in a round"


class BiasPruningConfig(DetectorConfig):
    """Options of bias-pruning."""

    batch: float = Field(50, gt=0, description="Questions dropped a round: a count, or a fraction below 1 of all with options.")
    floor: float = Field(0, ge=0, description="Fewest questions left: a count, or a fraction below 1 of all with options.")
    rounds: int = Field(0, ge=0, description="Most rounds; 0: until the floor, or until the text tells no more.")
    gain: float = Field(0.0, ge=-1, le=1, description="Stop where the held-out accuracy on what is left, less chance, is at most this.")
    folds: int = Field(5, ge=2, le=100, description="Folds of the cross-validation, grouped by video.")
    seed: int = Field(0, ge=0, description="Seed of the folds, and of the random questions that the result is compared with.")
    c: float = Field(1.0, gt=0, description="Inverse of the classifier's L2 penalty; smaller is simpler.")
    max_features: int = Field(50_000, ge=1, description="Most terms of each kind that the classifier uses.")


class BiasPruning(CorpusDetector[BiasPruningConfig]):
    """Fits question-only, drops the batch with the highest P(gold) − chance, refits on the rest: the round says how early it went.

    Source: iterative bias pruning, Brown et al. (arXiv 2511.04655). Ties go by id. Score `round`: 1, 2, … or 0 for what was never pruned;
    the filter iterative-pruning cuts by it. `shortcut` (also `p_gold`, with `chance` and `margin`) is the held-out P(gold) in the last
    fit the question was part of, `answered` whether it was pruned. A round costs a cross-validation on all that is left.
    """

    name = "bias-pruning"
    version = "1"
    Config: ClassVar[type[Any]] = BiasPruningConfig

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        """One verdict a question. Questions without options get none: their evidence says so."""
        from vidground_core.detectors.bias_pruning_rounds import Limits, Pruning
        from vidground_core.detectors.question_classifier import Fitting

        ids, rows, groups = list[str](), list[tuple[str, tuple[str, ...]]](), list[str]()
        gold = array("l")
        for question in corpus:
            if question.gold is not None:
                ids.append(question.id)
                rows.append((question.text, question.options))
                gold.append(question.gold)
                groups.append(question.group or question.id)
        settings = self.config
        limits = Limits(max(1, _count(settings.batch, len(rows))), _count(settings.floor, len(rows)), settings.rounds, settings.gain)
        fitting = Fitting(folds=settings.folds, seed=settings.seed, c=settings.c, max_features=settings.max_features)
        pruned = Pruning(ids, rows, gold, groups).run(limits, fitting, stages)
        row = 0
        for question in corpus:
            if question.gold is None:
                yield self._none(question, "no options: pruning judges questions with options only")
            else:
                yield self._verdict(question, row, pruned)
                row += 1

    def _verdict(self, question: Question, row: int, pruned: Pruned) -> Verdict:
        p_gold, number = float(pruned.p_gold[row]), int(pruned.round[row])
        if math.isnan(p_gold):
            one = len(question.options) == 1
            return self._none(question, "there is one option only" if one else "no other video left has a question to learn from")
        said = f"round {number} of {pruned.rounds}" if number else f"not pruned in {pruned.rounds} rounds"
        lines = [
            f"{said}: held-out P(gold) = {p_gold:.2f}, chance {question.chance:.2f}",
            f"held-out accuracy {pruned.accuracy[0]:.1%} before, {pruned.accuracy[-1]:.1%} on what is left,"
            f" {pruned.random:.1%} on as many random questions; chance {pruned.chance:.1%}",
        ]
        if pruned.reasons[row]:
            lines.append(f"for the choice spoke: {pruned.reasons[row]}")
        return Verdict(
            question=question.id,
            detector=self.name,
            rule=_RULE,
            shortcut=p_gold,
            answered=number > 0,
            conditions={CONDITION: Tally(trials=1, correct=int(pruned.right[row]), p_gold=p_gold)},
            scores={"round": float(number), "p_gold": p_gold, "chance": question.chance, "margin": p_gold - question.chance},
            evidence=tuple(lines),
        )

    def _none(self, question: Question, reason: str) -> Verdict:
        return Verdict(question.id, self.name, _RULE, None, None, evidence=(reason,))


def _count(wanted: float, total: int) -> int:
    return round(wanted * total) if wanted < 1 else int(wanted)
