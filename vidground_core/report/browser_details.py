"""Everything the page shows of one question once it is opened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vidground_core.records import Decision, Media, Tally, Verdict

from .rows import Row
from .sample import EVIDENCE_LIMIT, EVIDENCE_LINES, cut

MEDIA_SHOWN = 4
TAGS_SHOWN = 12
NUMBERS_SHOWN = 12


def details(row: Row) -> dict[str, Any]:
    """A question's details as plain data with short names; very long texts are cut, and say so."""
    question = row.question
    found: dict[str, Any] = {"k": question.kind, "v": [_verdict(name, verdict) for name, verdict in row.verdicts.items()]}
    if question.source:
        found["s"] = cut(question.source, EVIDENCE_LIMIT)
    if question.group:
        found["g"] = cut(question.group, EVIDENCE_LIMIT)
    if question.media:
        found["m"] = [media_key(medium) for medium in question.media[:MEDIA_SHOWN]]
    tags = {cut(key, 80): cut(value, EVIDENCE_LIMIT) for key, value in list(question.tags.items())[:TAGS_SHOWN] if value}
    if tags:
        found["t"] = tags
    if row.decision:
        found["d"] = _decision(row.decision)
    return found


def media_key(medium: Media) -> list[Any]:
    """Path, type and span of a medium, as it is shown and as its thumbnails are found."""
    return [cut(medium.path, 2 * EVIDENCE_LIMIT), medium.type, _number(medium.start), _number(medium.end)]


def _verdict(name: str, verdict: Verdict) -> list[Any]:
    tallies = [_tally(condition, tally) for condition, tally in verdict.conditions.items()]
    lines = [cut(line, EVIDENCE_LIMIT) for line in verdict.evidence[:EVIDENCE_LINES]]
    if len(verdict.evidence) > EVIDENCE_LINES:
        lines.append(f"… {len(verdict.evidence) - EVIDENCE_LINES:,} more lines")
    return [name, verdict.rule, _number(verdict.shortcut), verdict.answered, tallies, _numbers(verdict.scores), lines]


def _tally(condition: str, tally: Tally) -> list[Any]:
    return [condition, tally.trials, tally.correct, tally.refused, tally.unparsed, tally.failed, _number(tally.p_gold)]


def _decision(decision: Decision) -> list[Any]:
    reason = cut(decision.reason, EVIDENCE_LIMIT)
    return [decision.kept, cut(decision.policy, 80), cut(decision.version, 80), reason, _numbers(decision.numbers)]


def _numbers(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {cut(name, 80): _number(value) for name, value in list(numbers.items())[:NUMBERS_SHOWN]}


def _number(value: float | None) -> float | None:
    """About four digits that count: more would only make the page larger. What is no finite number is None."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")
