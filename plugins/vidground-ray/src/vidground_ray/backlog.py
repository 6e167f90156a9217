"""Asks that wait for a worker, and what a worker's death does to the asks it held."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vidground_core import Ask, Reply


@dataclass(slots=True, eq=False)
class Item:
    """An ask on its way: `settle` is called once with its reply; `deaths` counts the workers that died while they held it."""

    number: int
    ask: Ask
    settle: Callable[[Reply], None]
    deaths: int = 0


class Backlog:
    """Fresh asks, and suspects: asks whose worker died, in groups that are each given to a worker which holds nothing else.

    Of n asks that a dead worker held, any may be to blame. They are asked again in groups that shrink with each death, the last of
    one: with three attempts √n, then 1. So an ask that kills its worker every time is alone when it does so for the last time and
    is the only one that fails, and none is asked more than `attempts` times.
    """

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._fresh: deque[Item] = deque()
        self._suspects: deque[list[Item]] = deque()

    @property
    def fresh(self) -> int:
        """How many asks wait that no worker has died of."""
        return len(self._fresh)

    def __len__(self) -> int:
        return len(self._fresh) + sum(len(group) for group in self._suspects)

    def add(self, item: Item) -> None:
        """Queues a fresh ask."""
        self._fresh.append(item)

    def take(self, most: int) -> list[Item]:
        """Up to `most` fresh asks."""
        return [self._fresh.popleft() for _ in range(min(most, len(self._fresh)))]

    def suspects(self) -> list[Item]:
        """The next group that a worker must hold alone; empty where there is none."""
        return self._suspects.popleft() if self._suspects else []

    def give_back(self, items: Sequence[Item]) -> None:
        """Queues asks again, first of all, for whose worker's end they cannot be to blame."""
        if items and items[0].deaths:
            self._suspects.appendleft(list(items))
        else:
            self._fresh.extendleft(reversed(items))

    def bury(self, items: Sequence[Item]) -> list[Item]:
        """Counts a death against the asks a worker held; queues them as suspects and returns those whose attempts are used up."""
        spent: list[Item] = []
        left: list[Item] = []
        for item in items:
            item.deaths += 1
            (spent if item.deaths >= self._attempts else left).append(item)
        if left:
            size = self._group(len(items), max(item.deaths for item in left))
            self._suspects.extend(left[start : start + size] for start in range(0, len(left), size))
        return spent

    def clear(self) -> None:
        """Forgets everything."""
        self._fresh.clear()
        self._suspects.clear()

    def _group(self, held: int, deaths: int) -> int:
        remaining = (self._attempts - 1 - deaths) / (self._attempts - deaths)
        return math.ceil(held**remaining) if remaining > 0 else 1
