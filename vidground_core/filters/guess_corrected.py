"""Drops what is probably known rather than guessed, as far as a stated share of grounded questions lost allows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.filters.base import Filter, JudgedRows, Judges
from vidground_core.filters.evidence import JudgesConfig, present
from vidground_core.records import Decision


class GuessCorrectedConfig(JudgesConfig):
    """Options of guess-corrected."""

    rate: float = Field(0.05, ge=0, le=1, description="Largest expected share of the VG questions that may be dropped by luck.")
    m: int = Field(1, ge=1, description="How many of the judges must know the answer for a question to be TA.")


class GuessCorrected(Filter[GuessCorrectedConfig]):
    """Drops the questions most probably known to the judges while the expected share of VG questions dropped stays under a stated rate.

    P(TA | right answers, trials, options) comes from a mixture of knowing, being convinced and guessing, fitted to the whole set (see
    `filters.guessing`); questions of equal P(TA) go together or not at all. One trial of a question with K options cannot hold a rate under
    1/K, and neither can rotations in which a judge only repeats itself: then nothing is dropped. Two passes; counts are held in memory.
    """

    name = "guess-corrected"
    version = "1"
    Config: ClassVar[type[Any]] = GuessCorrectedConfig

    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """Raises ConfigError for a detector without verdicts."""
        from vidground_core.filters.luck import Counts, knowledge

        counts = Counts()
        for question, verdicts in rows():
            counts.add(question, verdicts)
        if not counts.options:
            return
        found = knowledge(counts, self.judges(counts.detectors))
        if isinstance(found, str):
            for question, _ in rows():
                yield self.decision(question, True, f"{found}: kept")
            return
        cut = found.threshold(self.config.rate)
        reason = "kept" if cut < float("inf") else f"too few trials to hold a false-drop rate of {self.config.rate:g}: kept"
        for (question, _), probability in zip(rows(), found.posteriors, strict=True):
            dropped = bool(probability >= cut)
            numbers = {"p_ta": float(probability)} | ({"threshold": cut} if cut < float("inf") else {})
            yield self.decision(
                question, not dropped, f"P(TA) holds the false-drop rate {self.config.rate:g}" if dropped else reason, numbers
            )

    def judges(self, detectors: Collection[str]) -> Judges:
        """The judges, m of whom must know the answer."""
        return Judges(tuple(present(self.name, self.config.detectors, detectors)), self.config.m)
