"""The paper's policy: what is answered without watching is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.errors import ConfigError, nearest
from vidground_core.filters.base import ExpectedErrors, FilterConfig, JudgedRows, RowFilter
from vidground_core.filters.luck import LuckEstimate
from vidground_core.records import Decision, Question, Verdict


class DropAnswerableConfig(FilterConfig):
    """Options of drop-answerable."""

    detectors: tuple[str, ...] = Field((), description="Detectors whose verdicts count; all there are when empty.")
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
        return Decision(question.id, kept, self.name, self.version, reason, numbers)

    def expected_errors(self, rows: JudgedRows) -> ExpectedErrors:
        """Grounded questions probably dropped by a lucky guess; see `luck.LuckEstimate` for the formula and its limits."""
        estimate = LuckEstimate()
        for question, verdicts in rows():
            estimate.add(question, verdicts, self.decide_row(question, verdicts))
        return estimate.result()

    def _names(self, verdicts: Mapping[str, Verdict]) -> list[str]:
        for name in self.config.detectors:
            if name not in verdicts:
                raise ConfigError(f"filter {self.name!r}: there are no verdicts of the detector {name!r}; {nearest(name, verdicts)}")
        names = list(self.config.detectors) or sorted(verdicts)
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
