"""Drops prompts whose group of rollouts would all earn the same reward: always or never solved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from vidground_core.errors import ConfigError
from vidground_core.filters.base import FilterConfig, Judges, RowFilter
from vidground_core.filters.evidence import present, split_address
from vidground_core.records import Decision, Question, Tally, Verdict


class PassRateConfig(FilterConfig):
    """Options of pass-rate."""

    detector: str = Field(
        "",
        description="Whose trials are the group: DETECTOR, or DETECTOR/CONDITION where it has several; the only one there is when empty.",
    )
    low: float = Field(0.0, ge=0, le=1, description="Drop what is solved in this share of trials or less.")
    high: float = Field(1.0, ge=0, le=1, description="Drop what is solved in this share of trials or more.")
    trials: int = Field(2, ge=1, description="Keep what was tried less often: it cannot be told.")

    @model_validator(mode="after")
    def _apart(self) -> PassRateConfig:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must lie below high = {self.high:g}, or everything is dropped")
        return self


class PassRate(RowFilter[PassRateConfig]):
    """Drops questions that a model always or never solves; keeps those tried too few times.

    In a group whose rewards are all equal every advantage is zero, so it teaches GRPO nothing (DAPO, arXiv 2503.14476, section 3.2,
    drops such groups as they are sampled). Refused and unparsed trials are not solved; failed ones do not count.
    """

    name = "pass-rate"
    version = "1"
    Config: ClassVar[type[Any]] = PassRateConfig

    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """Raises ConfigError for a detector or condition that is not there, or where several could be meant."""
        tally = self._tally(verdicts)
        trials = tally.trials - tally.failed if tally else 0
        if tally is None or trials < self.config.trials:
            return self.decision(question, True, f"fewer than {self.config.trials} trials: kept", {"trials": float(trials)})
        rate = tally.correct / trials
        numbers = {"rate": rate, "trials": float(trials)}
        if rate <= self.config.low:
            reason = "never solved" if self.config.low == 0 else f"solved in {self.config.low:g} of trials or less"
            return self.decision(question, False, reason, numbers)
        if rate >= self.config.high:
            reason = "always solved" if self.config.high == 1 else f"solved in {self.config.high:g} of trials or more"
            return self.decision(question, False, reason, numbers)
        return self.decision(question, True, "kept", numbers)

    def judges(self, detectors: Collection[str]) -> Judges:
        """All that judge, without the one whose rollouts these are: it may watch."""
        rollouts = split_address(self.config.detector)[0]
        return Judges(tuple(name for name in sorted(detectors) if name != rollouts))

    def _tally(self, verdicts: Mapping[str, Verdict]) -> Tally | None:
        detector, condition = split_address(self.config.detector)
        if not detector and len(verdicts) != 1:
            raise ConfigError(
                f"filter {self.name!r}: name the detector whose trials count; there is: {', '.join(sorted(verdicts)) or 'none'}"
            )
        verdict = verdicts[present(self.name, [detector] if detector else [], verdicts)[0]]
        if not verdict.conditions:
            return None
        if condition not in verdict.conditions and (condition or len(verdict.conditions) > 1):
            told = ", ".join(f"{verdict.detector}/{name}" for name in sorted(verdict.conditions))
            raise ConfigError(f"filter {self.name!r}: {self.config.detector!r} names no condition of its detector; there is: {told}")
        return verdict.conditions[condition] if condition else next(iter(verdict.conditions.values()))
