"""The paper's policy: what is answered without watching is dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.errors import ConfigError
from vidground_core.filters.base import Judges, RowFilter
from vidground_core.filters.evidence import JudgesConfig, present
from vidground_core.records import Decision, Question, Verdict


class DropAnswerableConfig(JudgesConfig):
    """Options of drop-answerable."""

    judges: int = Field(1, ge=1, description="How many of them must call a question answered for it to be dropped.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Call answered what has a shortcut score above this, instead of what the detector's own rule says."
    )


class DropAnswerable(RowFilter[DropAnswerableConfig]):
    """Drops what the detectors' rule calls answered without watching; keeps the rest, and what could not be judged.

    Source: the VidGround rule of arXiv 2604.05117 (there with one judge and one pass).
    """

    name = "drop-answerable"
    version = "1"
    Config: ClassVar[type[Any]] = DropAnswerableConfig

    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """Raises ConfigError where a configured detector has no verdicts, or fewer detectors are there than must agree."""
        chosen = {name: verdicts[name] for name in self._names(verdicts)}
        says = {name: answer for name, verdict in chosen.items() if (answer := self._answered(verdict)) is not None}
        against = [name for name, answer in says.items() if answer]
        if len(against) >= self.config.judges:
            kept, reason = False, f"answered blind by {', '.join(against)}"
        else:
            kept, reason = True, "kept" if says else "no verdict: kept"
        numbers = {name: verdict.shortcut for name, verdict in chosen.items() if verdict.shortcut is not None}
        return self.decision(question, kept, reason, numbers)

    def judges(self, detectors: Collection[str]) -> Judges:
        """The detectors that count, as many of which must know the answer as must call it answered."""
        return Judges(tuple(present(self.name, self.config.detectors, detectors)), self.config.judges)

    def _names(self, verdicts: Mapping[str, Verdict]) -> list[str]:
        names = present(self.name, self.config.detectors, verdicts)
        if len(names) < self.config.judges:
            raise ConfigError(
                f"filter {self.name!r}: judges = {self.config.judges}, but there are verdicts of {len(names)} detectors only"
                f" ({', '.join(names) or 'none'}); lower filter.judges or run more detectors"
            )
        return names

    def _answered(self, verdict: Verdict) -> bool | None:
        if self.config.threshold is None or verdict.shortcut is None:
            return verdict.answered
        return verdict.shortcut > self.config.threshold
