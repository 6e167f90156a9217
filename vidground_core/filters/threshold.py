"""Cuts at a number: the shortcut score, or any other score that a detector wrote."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from vidground_core.errors import ConfigError, nearest
from vidground_core.filters.base import JudgedRows, Judges, RowFilter
from vidground_core.filters.evidence import JudgesConfig, present
from vidground_core.records import Decision, Question, Verdict


class ThresholdConfig(JudgesConfig):
    """Options of threshold."""

    score: str = Field("shortcut", description="The number that is cut: shortcut, or the name of one of the detector's scores.")
    at: float = Field(0.5, allow_inf_nan=False, description="The threshold.")
    drop: Literal["above", "below"] = Field("above", description="Which side is dropped; what lies on the threshold is kept.")
    combine: Literal["mean", "any", "all"] = Field(
        "mean", description="Of several detectors: their mean is cut, or it is dropped where any or all of them lie on that side."
    )
    less_chance: bool = Field(False, description="Cut the score less 1/options, as scores of unlike numbers of options do not compare.")


class Threshold(RowFilter[ThresholdConfig]):
    """Drops what has a score above (or below) a threshold; keeps what has no score.

    Source of the score less chance: Brown et al. (arXiv 2511.04655) rank by s − 1/K.
    """

    name = "threshold"
    version = "1"
    Config: ClassVar[type[Any]] = ThresholdConfig

    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """`decide_row` over one pass. Raises ConfigError at its end where no question had the score."""
        scored = asked = False
        known = {"shortcut"}
        for question, verdicts in rows():
            for name in present(self.name, self.config.detectors, verdicts):
                asked = True
                known |= verdicts[name].scores.keys()
                scored = scored or self._score(verdicts[name]) is not None
            yield self.decide_row(question, verdicts)
        if asked and not scored and self.config.score != "shortcut":
            raise ConfigError(f"filter {self.name!r}: no question has a score {self.config.score!r}; {nearest(self.config.score, known)}")

    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """Raises ConfigError for a detector without verdicts."""
        less = question.chance if self.config.less_chance else 0.0
        found = {name: self._score(verdicts[name]) for name in present(self.name, self.config.detectors, verdicts)}
        numbers = {name: score - less for name, score in found.items() if score is not None}
        if not numbers:
            return self.decision(question, True, f"no {self.config.score}: kept")
        if self.config.combine == "mean" and len(numbers) > 1:
            numbers["mean"] = sum(numbers.values()) / len(numbers)
            over = [self._beyond(numbers["mean"])]
        else:
            over = [self._beyond(value) for value in numbers.values()]
        dropped = all(over) if self.config.combine == "all" else any(over)
        side = f"{self.config.score}{' less chance' if self.config.less_chance else ''} {self.config.drop} {self.config.at:g}"
        return self.decision(question, not dropped, side if dropped else "kept", numbers)

    def judges(self, detectors: Collection[str]) -> Judges:
        """The detectors whose score is cut."""
        return Judges(tuple(present(self.name, self.config.detectors, detectors)))

    def _beyond(self, value: float) -> bool:
        return value > self.config.at if self.config.drop == "above" else value < self.config.at

    def _score(self, verdict: Verdict) -> float | None:
        return verdict.shortcut if self.config.score == "shortcut" else verdict.scores.get(self.config.score)
