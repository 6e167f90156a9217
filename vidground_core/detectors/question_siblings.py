"""Siblings: questions about several videos that offer the same options, as in sets balanced by videos with other answers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from vidground_core.detectors.question_features import TextRow, words


def sibling_groups(rows: Sequence[TextRow], groups: Sequence[str]) -> list[str]:
    """For each row the name of its part: rows of one group (video), and rows with the same options in any order, are in one part.

    Of options only the words count. A part is named by the number of its first row.
    """
    options = ["\n".join(sorted(" ".join(words(option)) or option.strip() for option in row[1])) for row in rows]
    return [str(part) for part in _joined(len(rows), (groups, options))]


def _joined(size: int, keyings: Iterable[Sequence[Hashable]]) -> list[int]:
    """The first member of each item's part, where items that share a key of any keying are in one part."""
    parent = list(range(size))

    def first(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for keys in keyings:
        met: dict[Hashable, int] = {}
        for item, key in enumerate(keys):
            one, other = first(met.setdefault(key, item)), first(item)
            parent[max(one, other)] = min(one, other)
    return [first(item) for item in range(size)]
