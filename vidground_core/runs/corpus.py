"""The questions of a run as a detector's corpus, read from the table and never held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from vidground_core.records import Media, Question
from vidground_core.runs.questions import QuestionTable
from vidground_core.tables import read


class TableCorpus:
    """Implements `detectors.base.Corpus` over a table of questions."""

    def __init__(self, table: QuestionTable) -> None:
        self._table = table
        self._by_type: dict[str, list[tuple[str, tuple[Media, ...]]]] | None = None

    def __iter__(self) -> Iterator[Question]:
        for part, _ in self._table.parts:
            yield from read(self._table.folder / part, Question)

    def __len__(self) -> int:
        return self._table.rows

    def other_media(self, question: Question, seed: int) -> tuple[Media, ...]:
        """The media of a question of another group, of the same type: the same in every process for the same id and seed.

        Empty where the question has no media or no other group has any.
        """
        if not question.media:
            return ()
        groups = self._media_groups().get(question.media[0].type, [])
        own = _group(question)
        start = int.from_bytes(hashlib.sha256(f"{seed}\n{question.id}".encode()).digest()[:8], "big")
        for offset in range(min(len(groups), 2)):
            group, media = groups[(start + offset) % len(groups)]
            if group != own:
                return media
        return ()

    def _media_groups(self) -> dict[str, list[tuple[str, tuple[Media, ...]]]]:
        """For each type of media, the first media of every group, sorted by group; made by one pass when first needed."""
        if self._by_type is None:
            first: dict[tuple[str, str], tuple[Media, ...]] = {}
            for question in self:
                if question.media:
                    first.setdefault((question.media[0].type, _group(question)), question.media)
            self._by_type = {}
            for (kind, group), media in sorted(first.items(), key=lambda item: item[0]):
                self._by_type.setdefault(kind, []).append((group, media))
        return self._by_type


def _group(question: Question) -> str:
    return question.group or question.media[0].path
