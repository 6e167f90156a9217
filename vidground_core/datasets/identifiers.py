"""Ids made unique where a published layout repeats them."""

from __future__ import annotations

from collections import Counter


class UniqueIds:
    """Counts ids in file order: the first row with an id keeps it, later ones get its number, `ID#2`, `ID#3`, …"""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def take(self, identity: str) -> str:
        """The id for the next row that calls itself `identity`; the same file gives the same ids each time."""
        self._seen[identity] += 1
        count = self._seen[identity]
        return identity if count == 1 else f"{identity}#{count}"
