"""Engines whose replies a test decides."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from vidground_core import Ask, BatchEngine, EngineConfig, Reply
from vidground_core.engines.base import CAPABILITIES


class ScriptedEngine(BatchEngine[EngineConfig]):
    """Answers every ask by a function; `asks` keeps what was asked."""

    name = "scripted"
    version = "1"
    Config: ClassVar[type[Any]] = EngineConfig
    identity = "scripted"
    can = frozenset(CAPABILITIES)

    def __init__(self, answer: Callable[[Ask], Reply | str]) -> None:
        super().__init__(EngineConfig())
        self.answer_one = answer
        self.asks: list[Ask] = []

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        self.asks += asks
        replies = [self.answer_one(ask) for ask in asks]
        return [Reply("answered", text=reply) if isinstance(reply, str) else reply for reply in replies]


def words(ask: Ask) -> str:
    """All text of an ask."""
    return "\n".join(part for _, parts in ask.messages for part in parts if isinstance(part, str))


def listed(ask: Ask) -> list[str]:
    """The options in the order shown."""
    return re.findall(r"^[A-Z]\. (.*)$", words(ask), re.MULTILINE)


def logprobs(chances: Sequence[float], tokens: Sequence[int] | None = None) -> Reply:
    """A reply with these probabilities, normalised."""
    total = sum(chances)
    return Reply("answered", logprobs=tuple(math.log(chance / total) for chance in chances), tokens=tuple(tokens or (1,) * len(chances)))
