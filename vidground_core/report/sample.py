"""Which questions are shown: a sample that does not depend on the order of the rows, so the same data give the same page."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping

from .data import Example, Score
from .rows import Row

EXAMPLES_PER_GROUP = 200
TEXT_LIMIT = 1_500
EVIDENCE_LINES = 6
EVIDENCE_LIMIT = 300
OPTIONS_LIMIT = 26


class Sampler:
    """Keeps the `size` rows whose ids have the smallest digests: a uniform sample, drawn without holding the rows (bottom-k)."""

    def __init__(self, size: int = EXAMPLES_PER_GROUP) -> None:
        self.size, self.total = size, 0
        self._held: list[tuple[int, int, Example]] = []

    def add(self, row: Row) -> None:
        """Counts the row and keeps it when its digest is among the smallest."""
        order, self.total = self.total, self.total + 1
        key = -int.from_bytes(hashlib.blake2b(row.question.id.encode(), digest_size=8).digest())
        if len(self._held) < self.size:
            heapq.heappush(self._held, (key, order, example(row)))
        elif self._held and key > self._held[0][0]:
            heapq.heapreplace(self._held, (key, order, example(row)))

    def examples(self) -> tuple[Example, ...]:
        """The sample in data order."""
        return tuple(item[2] for item in sorted(self._held, key=lambda item: item[1]))


def example(row: Row) -> Example:
    """A row as it is shown; very long texts are cut, and say so."""
    question, decision = row.question, row.decision
    return Example(
        id=cut(question.id, EVIDENCE_LIMIT),
        text=cut(question.text, TEXT_LIMIT),
        options=tuple(cut(option, TEXT_LIMIT) for option in question.options[:OPTIONS_LIMIT]),
        gold=question.gold,
        answer=cut(question.answer, TEXT_LIMIT),
        kind=question.kind,
        source=question.source,
        group=cut(question.group, EVIDENCE_LIMIT),
        media=tuple(cut(medium.path, EVIDENCE_LIMIT) for medium in question.media[:4]),
        tags=_short(question.tags),
        scores=tuple(
            Score(name, verdict.shortcut, verdict.answered, tuple(cut(line, EVIDENCE_LIMIT) for line in verdict.evidence[:EVIDENCE_LINES]))
            for name, verdict in row.verdicts.items()
        ),
        kept=decision.kept if decision else None,
        reason=decision.reason if decision else "",
    )


def _short(tags: Mapping[str, str]) -> dict[str, str]:
    return {cut(key, 80): cut(value, EVIDENCE_LIMIT) for key, value in list(tags.items())[:12] if value}


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning and how much was left off."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"
