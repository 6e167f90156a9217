"""What a filter reads from verdicts: the detectors that count, their numbers, and a seeded order of questions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from pydantic import Field

from vidground_core.errors import ConfigError, nearest
from vidground_core.filters.base import FilterConfig
from vidground_core.records import Question, Verdict

Trait = Literal["kind", "source", "options", "media"]
Rank = Literal["shortcut", "random"]


class JudgesConfig(FilterConfig):
    """Options of filters that read the verdicts of several detectors."""

    detectors: tuple[str, ...] = Field((), description="Detectors whose verdicts count; all there are when empty.")


def present(policy: str, wanted: Sequence[str], there: Collection[str]) -> list[str]:
    """The wanted detectors, or all there are. Raises ConfigError for one without verdicts, naming the nearest."""
    for name in wanted:
        if name not in there:
            raise ConfigError(f"filter {policy!r}: there are no verdicts of the detector {name!r}; {nearest(name, there)}")
    return list(wanted) or sorted(there)


def split_address(address: str) -> tuple[str, str]:
    """("frame-shuffled", "ordered") for "frame-shuffled/ordered"; the condition is empty where none is named."""
    detector, _, condition = address.partition("/")
    return detector, condition


def p_gold(policy: str, address: str, verdicts: Mapping[str, Verdict]) -> float | None:
    """P(gold) that a detector (or DETECTOR/CONDITION) measured; where it only generated, the share of right answers.

    None where it has no answer to this question. Raises ConfigError for a detector without verdicts, for a condition that it does not have,
    and where it has several conditions and none is named.
    """
    detector, condition = split_address(address)
    verdict = verdicts[present(policy, [detector], verdicts)[0]]
    if not verdict.conditions:
        return None
    if condition and condition not in verdict.conditions:
        raise ConfigError(f"filter {policy!r}: {detector!r} has no condition {condition!r}; {nearest(condition, verdict.conditions)}")
    if not condition and len(verdict.conditions) > 1:
        told = ", ".join(f"{detector}/{name}" for name in sorted(verdict.conditions))
        raise ConfigError(f"filter {policy!r}: {detector!r} has several conditions; name one: {told}")
    tally = verdict.conditions[condition] if condition else next(iter(verdict.conditions.values()))
    if tally.p_gold is not None:
        return tally.p_gold
    answered = tally.trials - tally.failed - tally.refused - tally.unparsed
    return tally.correct / answered if answered > 0 else None


def excess(verdicts: Mapping[str, Verdict], detectors: Sequence[str], chance: float) -> float:
    """How answerable a question looks: the mean shortcut score of the detectors less chance; 0 where none has one.

    Less chance, because scores of questions with unlike numbers of options do not compare (Brown et al., arXiv 2511.04655).
    """
    scores = [score for name in detectors if (score := verdicts[name].shortcut) is not None]
    return sum(scores) / len(scores) - chance if scores else 0.0


def lot(seed: int, question: str) -> int:
    """A question's place in a random order: depends on the seed and its id only, not on what stands around it."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{question}".encode()).digest()[:8], "big")


def stratum(question: Question, traits: Sequence[Trait]) -> tuple[str, ...]:
    """The question's value of each trait."""
    of: dict[Trait, str] = {
        "kind": question.kind,
        "source": question.source,
        "options": str(len(question.options)),
        "media": question.media[0].type if question.media else "none",
    }
    return tuple(of[trait] for trait in traits)


def size(keep: float, total: int) -> int:
    """How many of `total` are kept by a count, or by a fraction below 1."""
    return min(total, round(keep * total) if keep < 1 else int(keep))
