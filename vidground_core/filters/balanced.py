"""Keeps the mix of the whole set: as large a part of each kind and source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.filters.base import Before, JudgedRows, Judges, SelectionFilter
from vidground_core.filters.evidence import JudgesConfig, Rank, Trait, excess, lot, present, stratum
from vidground_core.records import Decision


class BalancedConfig(JudgesConfig):
    """Options of balanced."""

    by: tuple[Trait, ...] = Field(("kind", "source"), min_length=1, description="What makes up the mix: kind, source, options, media.")
    keep: float = Field(
        1.0, gt=0, le=1, description="Keep at most this share of each part; what earlier policies left may allow less only."
    )
    least: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Parts of which earlier policies left less than this share do not bind the others and are kept whole.",
    )
    rank: Rank = Field("random", description="Which go: random ones, or those with the highest mean shortcut score less chance.")
    seed: int = Field(0, ge=0, description="Seed of the lot.")


class Balanced(SelectionFilter[BalancedConfig]):
    """Thins out what is kept until the mix of kinds and sources is that of the whole set again.

    Each part (kind and source, say) keeps the same share of its questions: the smallest share that earlier policies left of any. A part of
    which they left nothing cannot be brought back and is left out of the account. Numbers: `share`, that smallest share. Two passes.
    """

    name = "balanced"
    version = "1"
    Config: ClassVar[type[Any]] = BalancedConfig

    def select(self, rows: JudgedRows, before: Before | None) -> Iterator[Decision]:
        """Raises ConfigError for a detector without verdicts."""
        total: Counter[tuple[str, ...]] = Counter()
        left: dict[tuple[str, ...], list[tuple[float, int, int]]] = {}
        for place, (question, verdicts) in enumerate(rows()):
            part = stratum(question, self.config.by)
            total[part] += 1
            if before is None or before.kept[place]:
                score = 0.0
                if self.config.rank == "shortcut":
                    score = excess(verdicts, present(self.name, self.config.detectors, verdicts), question.chance)
                left.setdefault(part, []).append((score, lot(self.config.seed, question.id), place))
        binding = [share for part, kept in left.items() if (share := len(kept) / total[part]) >= self.config.least]
        share = min([self.config.keep, *binding])
        chosen = bytearray(total.total())
        for part, kept in left.items():
            for _, _, place in sorted(kept)[: round(share * total[part])]:
                chosen[place] = 1
        for place, (question, _) in enumerate(rows()):
            reason = "kept" if chosen[place] else f"more of its {' and '.join(self.config.by)} than of the rest"
            yield self.decision(question, bool(chosen[place]), reason, {"share": share})

    def judges(self, detectors: Collection[str]) -> Judges:
        """The detectors that rank, or all where it is by lot."""
        return Judges(tuple(present(self.name, self.config.detectors, detectors)))
