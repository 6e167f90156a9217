"""The shortcut score: confident right answers without the video, less what the video adds."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from vidground_core.errors import ConfigError
from vidground_core.filters.base import FilterConfig, Judges, RowFilter
from vidground_core.filters.evidence import p_gold, present, split_address
from vidground_core.records import Decision, Question, Tally, Verdict


class ShortcutScoreConfig(FilterConfig):
    """Options of shortcut-score."""

    blind: tuple[str, ...] = Field(
        ("blind-vlm",), min_length=1, description="Who answers without the video: a DETECTOR (or DETECTOR/CONDITION) for each model."
    )
    video: tuple[str, ...] = Field(
        ("frame-shuffled/ordered",), min_length=1, description="Who answers with it, in the same order: DETECTOR or DETECTOR/CONDITION."
    )
    most: float = Field(0.1, allow_inf_nan=False, description="Drop what scores above this.")

    @model_validator(mode="after")
    def _pairs(self) -> ShortcutScoreConfig:
        if len(self.blind) != len(self.video):
            raise ValueError(f"{len(self.blind)} models without the video and {len(self.video)} with it; name the same models in both")
        return self


class ShortcutScore(RowFilter[ShortcutScoreConfig]):
    """Drops what models answer rightly and surely without the video, unless the video makes them surer; keeps what has no score.

    S = mean_m 1[correct](1 − H/ln K) − mean_m (P(gold|video) − P(gold|blind))/(1 − 1/K), kept where S ≤ 0.1 (arXiv 2606.30220). H is the
    entropy (nats) of the blind answer over the K options: the detector's score `entropy`; with two options it follows from P(gold).
    Over several rotations 1[correct] is the share of right ones. Open-ended questions have no K and no score.
    """

    name = "shortcut-score"
    version = "1"
    Config: ClassVar[type[Any]] = ShortcutScoreConfig

    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """Raises ConfigError for a detector or condition that is not there, or a blind one that wrote no entropy."""
        options = len(question.options)
        terms = [self._terms(question, *pair, verdicts) for pair in zip(self.config.blind, self.config.video, strict=True)]
        found = [term for term in terms if term is not None]
        if options < 2 or len(found) < len(terms):
            return self.decision(question, True, "no shortcut score: kept")
        sure, gain = (math.fsum(column) / len(found) for column in zip(*found, strict=True))
        kept = sure - gain <= self.config.most
        numbers = {"score": sure - gain, "blind_certainty": sure, "visual_gain": gain}
        return self.decision(question, kept, "kept" if kept else f"shortcut score above {self.config.most:g}", numbers)

    def judges(self, detectors: Collection[str]) -> Judges:
        """Those who answer without the video."""
        names = dict.fromkeys(split_address(address)[0] for address in self.config.blind)
        return Judges(tuple(present(self.name, list(names), detectors)))

    def _terms(self, question: Question, blind: str, video: str, verdicts: Mapping[str, Verdict]) -> tuple[float, float] | None:
        options = len(question.options)
        unseen, seen = p_gold(self.name, blind, verdicts), p_gold(self.name, video, verdicts)
        if options < 2 or unseen is None or seen is None:
            return None
        detector, condition = split_address(blind)
        verdict = verdicts[detector]
        tally = verdict.conditions[condition] if condition else next(iter(verdict.conditions.values()))
        entropy = self._entropy(verdict, tally, options)
        right = tally.correct / (tally.trials - tally.failed)
        return right * (1 - entropy / math.log(options)), (seen - unseen) / (1 - 1 / options)

    def _entropy(self, verdict: Verdict, tally: Tally, options: int) -> float:
        if "entropy" in verdict.scores:
            return verdict.scores["entropy"]
        if options == 2 and tally.p_gold is not None:
            return -math.fsum(share * math.log(share) for share in (tally.p_gold, 1 - tally.p_gold) if share > 0)
        raise ConfigError(
            f"filter {self.name!r}: {verdict.detector!r} wrote no score 'entropy' for question {verdict.question!r}; run it with an engine"
            " that gives log-probabilities (scoring letters or texts), or use the filter visual-gain, which needs none"
        )
