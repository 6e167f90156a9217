"""Keeps what the video helps with: P(gold) with the video against P(gold) without."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.filters.base import FilterConfig, Judges, RowFilter
from vidground_core.filters.evidence import p_gold, present, split_address
from vidground_core.records import Decision, Question, Verdict


class VisualGainConfig(FilterConfig):
    """Options of visual-gain."""

    blind: str = Field("blind-vlm", description="Who answers without the video: DETECTOR, or DETECTOR/CONDITION where it has several.")
    video: str = Field("frame-shuffled/ordered", description="Who answers with it: DETECTOR or DETECTOR/CONDITION, of the same model.")
    least: float = Field(0.1, ge=-1, le=1, description="Drop what gains less than this.")


class VisualGain(RowFilter[VisualGainConfig]):
    """Drops questions to which the video adds little: P(gold | video) − P(gold | blind) under a threshold; keeps what has no number.

    A question may be answered blind at .26 and with the video at .95: correctness alone would not know, this keeps it. Where a model
    only generates, P(gold) is its share of right answers.
    """

    name = "visual-gain"
    version = "1"
    Config: ClassVar[type[Any]] = VisualGainConfig

    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """Raises ConfigError for a detector or condition that is not there."""
        blind, seen = (p_gold(self.name, address, verdicts) for address in (self.config.blind, self.config.video))
        if blind is None or seen is None:
            return self.decision(question, True, "not answered both with and without the video: kept")
        numbers = {"blind": blind, "video": seen, "gain": seen - blind}
        kept = seen - blind >= self.config.least
        return self.decision(question, kept, "kept" if kept else f"visual gain below {self.config.least:g}", numbers)

    def judges(self, detectors: Collection[str]) -> Judges:
        """The one who answers without the video."""
        return Judges(tuple(present(self.name, [split_address(self.config.blind)[0]], detectors)))
