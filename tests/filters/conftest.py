from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from vidground_core import Decision, Question, Tally, Verdict
from vidground_core.filters.base import Filter, Judged


def _question(name: str, options: int = 4, **fields: Any) -> Question:
    texts = tuple(f"option {place}" for place in range(options))
    return Question(name, "?", texts[0] if texts else "3", texts, kind="multiple choice" if texts else "numerical", **fields)


def _judged(name: str, right: Mapping[str, tuple[int, int]], options: int = 4, rule: str = "mean > 0.5", **fields: Any) -> Judged:
    """A question with verdicts of judges that were right in so many of so many trials."""
    verdicts = {}
    for judge, (correct, trials) in right.items():
        answered = {"any": correct >= 1, "all": correct == trials}.get(rule, 2 * correct > trials) if trials else None
        tallies = {"blind": Tally(trials, correct)} if trials else {}
        verdicts[judge] = Verdict(name, judge, rule, correct / trials if trials else None, answered, tallies)
    return _question(name, options, **fields), verdicts


def _decided(policy: type[Filter[Any]], rows: Sequence[Judged], **options: Any) -> list[Decision]:
    return list(policy(policy.Config.model_validate(options)).decide(lambda: iter(rows)))


@pytest.fixture
def question() -> Callable[..., Question]:
    return _question


@pytest.fixture
def judged() -> Callable[..., Judged]:
    return _judged


@pytest.fixture
def decided() -> Callable[..., list[Decision]]:
    return _decided
