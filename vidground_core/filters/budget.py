"""Keeps no more than a budget allows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.filters.base import Filter, JudgedRows, Judges
from vidground_core.filters.evidence import JudgesConfig, Rank, excess, lot, present, size
from vidground_core.records import Decision


class BudgetConfig(JudgesConfig):
    """Options of budget."""

    keep: float = Field(0.5, gt=0, description="How many to keep: a count, or a fraction below 1 of the questions that reach this policy.")
    rank: Rank = Field(
        "shortcut", description="Which are kept: those with the lowest mean shortcut score less chance (ties by lot), or random ones."
    )
    seed: int = Field(0, ge=0, description="Seed of the lot.")


class Budget(Filter[BudgetConfig]):
    """Keeps at most so many questions: the least answerable ones, or random ones. Two passes; a number a question is held in memory."""

    name = "budget"
    version = "1"
    Config: ClassVar[type[Any]] = BudgetConfig

    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """Raises ConfigError for a detector without verdicts."""
        ranked: list[tuple[float, int, int]] = []
        for place, (question, verdicts) in enumerate(rows()):
            score = 0.0
            if self.config.rank == "shortcut":
                score = excess(verdicts, present(self.name, self.config.detectors, verdicts), question.chance)
            ranked.append((score, lot(self.config.seed, question.id), place))
        keep = size(self.config.keep, len(ranked))
        chosen = bytearray(len(ranked))
        scores = [score for score, _, _ in ranked]
        for _, _, place in sorted(ranked)[:keep]:
            chosen[place] = 1
        reason = "over the budget: more answerable than what is kept" if self.config.rank == "shortcut" else "over the budget: by lot"
        for place, (question, _) in enumerate(rows()):
            numbers = {"shortcut_less_chance": scores[place]} if self.config.rank == "shortcut" else {}
            yield self.decision(question, bool(chosen[place]), "kept" if chosen[place] else reason, numbers)

    def judges(self, detectors: Collection[str]) -> Judges:
        """The detectors that rank, or all where it is by lot."""
        return Judges(tuple(present(self.name, self.config.detectors, detectors)))
