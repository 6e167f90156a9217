"""Random draws that are the same in every process, on every machine and in every Python version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of draws fixed by a text.

    Built on `random.Random(str).random()` only: of all its methods this alone is documented never to change its sequence.
    """

    def __init__(self, key: str) -> None:
        self._source = random.Random(key)  # noqa: S311 - a reproducible world, not a secret

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._source.random() < probability

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._source.random()

    def below(self, bound: int) -> int:
        """A whole number in 0 .. bound - 1."""
        return int(self._source.random() * bound)

    def one(self, items: Sequence[T]) -> T:
        """One of `items`, each equally likely."""
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `items`, in random order."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(count)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All `items` in random order."""
        return self.some(items, len(items))
