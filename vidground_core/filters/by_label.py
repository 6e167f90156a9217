"""Keeps what a data set itself labels: the oracle of an ablation, with errors added by choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.filters.base import FilterConfig, RowFilter
from vidground_core.filters.evidence import lot
from vidground_core.records import Decision, Question, Verdict

_LOTS = 2**64


class ByLabelConfig(FilterConfig):
    """Options of by-label."""

    tag: str = Field("label", description="Name of the tag that holds the label.")
    keep: tuple[str, ...] = Field(("vg",), description="Labels that are kept.")
    false_drops: float = Field(0.0, ge=0, le=1, description="Share of what would be kept that is dropped all the same, by lot.")
    false_keeps: float = Field(0.0, ge=0, le=1, description="Share of what would be dropped that is kept all the same, by lot.")
    seed: int = Field(0, ge=0, description="Seed of the lots.")


class ByLabel(RowFilter[ByLabelConfig]):
    """Keeps questions by a tag of the data set, such as the ground truth of `planted`; needs no verdict.

    With `false_drops` and `false_keeps` it is a filter of known quality: what a detector's errors cost is then measured, not guessed. The
    lots of a smaller share are among those of a larger one. A question without the tag is dropped, and counted as such.
    """

    name = "by-label"
    version = "1"
    Config: ClassVar[type[Any]] = ByLabelConfig
    reads_tags = True

    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """The label's word, or the lot's."""
        label = question.tags.get(self.config.tag)
        if label is None:
            return self.decision(question, False, f"no tag {self.config.tag!r}")
        kept = label in self.config.keep
        share = self.config.false_drops if kept else self.config.false_keeps
        if lot(self.config.seed, question.id) / _LOTS < share:
            return self.decision(question, not kept, f"labelled {label}: {'dropped' if kept else 'kept'} by lot")
        return self.decision(question, kept, f"labelled {label}")
