"""Cuts where the detector bias-pruning has pruned: by round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.errors import ConfigError
from vidground_core.filters.base import Filter, FilterConfig, JudgedRows, Judges
from vidground_core.filters.evidence import present, size
from vidground_core.records import Decision, Verdict

ROUND = "round"


class IterativePruningConfig(FilterConfig):
    """Options of iterative-pruning."""

    detector: str = Field("bias-pruning", description="The detector that wrote the score `round`.")
    rounds: int | None = Field(None, ge=0, description="Drop what was pruned in the first so many rounds; all rounds when not set.")
    keep: float = Field(
        0, ge=0, description="Stop before the round that would leave fewer than this: a count, or a fraction below 1 of the questions."
    )


class IterativePruning(Filter[IterativePruningConfig]):
    """Drops what iterative bias pruning removed in its first rounds; a round is cut whole or not at all.

    The evidence is the detector's (Brown et al., arXiv 2511.04655): score the set, drop the worst batch, refit on the rest. Questions
    without a round, or with round 0, were never pruned. Two passes; a count a round is held in memory.
    """

    name = "iterative-pruning"
    version = "1"
    Config: ClassVar[type[Any]] = IterativePruningConfig

    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """Raises ConfigError for a detector without verdicts, or one that wrote no round for any question."""
        pruned: Counter[int] = Counter()
        total = 0
        scored = False
        for _, verdicts in rows():
            verdict = verdicts[present(self.name, [self.config.detector], verdicts)[0]]
            scored = scored or ROUND in verdict.scores
            total += 1
            if found := _round(verdict):
                pruned[found] += 1
        if total and not scored:
            raise ConfigError(
                f"filter {self.name!r}: {self.config.detector!r} wrote no score {ROUND!r}; run vg detect with the detector bias-pruning, or"
                " use the filter threshold for its scores"
            )
        last = self._last(pruned, total)
        for question, verdicts in rows():
            found = _round(verdicts[self.config.detector])
            if found and found <= last:
                yield self.decision(question, False, f"pruned in round 1 to {last}", {ROUND: float(found)})
            else:
                yield self.decision(question, True, "pruned later: kept" if found else "kept", {ROUND: float(found)} if found else {})

    def judges(self, detectors: Collection[str]) -> Judges:
        """All that judge: pruning itself counts no right answers."""
        return Judges(tuple(name for name in sorted(detectors) if name != self.config.detector))

    def _last(self, pruned: Counter[int], total: int) -> int:
        left, last = total, 0
        for number in sorted(pruned):
            left -= pruned[number]
            if left < size(self.config.keep, total) or (self.config.rounds is not None and number > self.config.rounds):
                break
            last = number
        return last


def _round(verdict: Verdict) -> int:
    return int(verdict.scores.get(ROUND, 0))
