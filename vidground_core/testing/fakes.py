"""An engine without a model, for tests."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.engines.base import CAPABILITIES, BatchEngine, EngineConfig
from vidground_core.records import Ask, Reply, canonical


class FakeEngineConfig(EngineConfig):
    """Options of the fake engine."""

    seed: int = Field(0, ge=0, description="Another seed gives other replies.")
    failing: float = Field(0.0, ge=0, le=1, description="Share of asks that fail.")
    refusing: float = Field(0.0, ge=0, le=1, description="Share of generating asks that are refused in words.")
    favourite: str = Field("", description="Continuation or letter that is always chosen, such as A; none when empty.")


class FakeEngine(BatchEngine[FakeEngineConfig]):
    """Answers from a hash of the ask: the same ask gives the same reply in any process, and knows nothing of what is right."""

    name = "fake"
    version = "1"
    Config: ClassVar[type[Any]] = FakeEngineConfig
    can = frozenset(CAPABILITIES)

    @property
    def identity(self) -> str:
        """All options and the version: a reply depends on nothing else."""
        return f"fake {self.version} {self.config.model_dump_json()}"

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask, each by itself."""
        return [self._answer(ask) for ask in asks]

    def _answer(self, ask: Ask) -> Reply:
        if self._draw(ask, "failing") < self.config.failing:
            return Reply("failed", error="the fake engine was told to fail")
        if ask.continuations:
            tokens = tuple(max(1, len(text.split())) for text in ask.continuations)
            sums = [count * math.log(0.05 + 0.9 * self._draw(ask, text)) for text, count in zip(ask.continuations, tokens, strict=True)]
            chosen = [0.0 if text == self.config.favourite else value for text, value in zip(ask.continuations, sums, strict=True)]
            return Reply("answered", logprobs=tuple(chosen), tokens=tokens)
        if self._draw(ask, "refusing") < self.config.refusing:
            return Reply("answered", text="I cannot determine this without the video.")
        return Reply("answered", text=self.config.favourite or self._text(ask))

    def _text(self, ask: Ask) -> str:
        words = "\n".join(part for _, parts in ask.messages for part in parts if isinstance(part, str))
        letters = re.findall(r"^([A-Z])\. ", words, re.MULTILINE)
        drawn = self._draw(ask, "text")
        return letters[int(drawn * len(letters))] if letters else str(int(drawn * 10))

    def _draw(self, ask: Ask, salt: str) -> float:
        """A number in [0, 1) from the ask, the seed and the salt."""
        digest = hashlib.sha256(f"{self.config.seed}\n{salt}\n{canonical(ask)}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56
