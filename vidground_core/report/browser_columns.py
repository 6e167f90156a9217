"""What every question gives to the list, the search and the filters of the page's browser: columns, a part at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidground_core.records import Question, Verdict

from .rows import Row
from .sample import EVIDENCE_LIMIT, OPTIONS_LIMIT, TEXT_LIMIT, cut

NAMES_KEPT = 500
TAG_KEYS = 12
TAG_VALUES = 60
NONE, OTHER, FIRST_CODE = 0, 1, 2
SEPARATOR = "\u001f"
_NO_VERDICT, _NOT_JUDGED, _YES, _NO = " ", "-", "1", "0"


@dataclass(frozen=True, slots=True)
class Facet:
    """Something to filter by: `counts[i]` questions have `values[i]`; 0 is none, 1 all values that have no place of their own."""

    key: str
    title: str
    values: tuple[str, ...]
    counts: tuple[int, ...]


class _Codes:
    """Values as small numbers in the order met; past `limit` they are one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.numbers: dict[str, int] = {}
        self.counts: Counter[int] = Counter()

    def code(self, value: str) -> int:
        number = NONE
        if value:
            number = self.numbers.get(value, OTHER)
            if number == OTHER and len(self.numbers) < self.limit:
                number = self.numbers[value] = FIRST_CODE + len(self.numbers)
        self.counts[number] += 1
        return number

    def facet(self, key: str, title: str) -> Facet:
        values = ("", "other", *(cut(value, EVIDENCE_LIMIT) for value in self.numbers))
        return Facet(key, title, values, tuple(self.counts[number] for number in range(len(values))))


class Columns:
    """The columns of the part at hand, and the values to filter by of all parts."""

    def __init__(self) -> None:
        self.rows = self.first = self.bytes = 0
        self.detectors: list[str] = []
        self.decided = False
        self._facets = {name: _Codes(NAMES_KEPT) for name in ("set", "reason", "kind", "source", "options")}
        self._tags: dict[str, _Codes] = {}
        self._start()

    def _start(self) -> None:
        self.first, self.bytes = self.rows, 0
        self._id: list[str] = []
        self._text: list[str] = []
        self._options: list[str] = []
        self._gold: list[int] = []
        self._kept: list[str] = []
        self._codes: dict[str, list[int]] = {name: [] for name in self._facets}
        self._tag_codes: dict[str, list[int]] = {}
        self._said: dict[str, list[str]] = {}
        self._score: dict[str, list[int]] = {}

    def add(self, row: Row, where: str = "") -> None:
        """Adds a question; `where` names its data set where there are several."""
        question, decision = row.question, row.decision
        number, self.rows = self.rows - self.first, self.rows + 1
        gold = question.gold
        shown = (
            [cut(text, TEXT_LIMIT) for text in question.options[:OPTIONS_LIMIT]] if question.options else [cut(question.answer, TEXT_LIMIT)]
        )
        options = SEPARATOR.join(text.replace(SEPARATOR, " ") for text in shown)
        self._id.append(cut(question.id, EVIDENCE_LIMIT))
        self._text.append(cut(question.text, TEXT_LIMIT))
        self._options.append(options)
        self._gold.append(-1 if gold is None else gold)
        self._kept.append(_NO_VERDICT if decision is None else _YES if decision.kept else _NO)
        self.decided = self.decided or decision is not None
        placed = {"set": where, "reason": decision.reason if decision else "", "kind": question.kind, "source": question.source}
        placed["options"] = str(len(question.options)) if question.options else ""
        for name, value in placed.items():
            self._codes[name].append(self._facets[name].code(value))
        self._add_tags(question, number)
        self._add_verdicts(row.verdicts, number)
        self.bytes += len(self._text[-1].encode(errors="replace")) + len(options.encode(errors="replace")) + len(self._id[-1]) + 40

    def _add_tags(self, question: Question, number: int) -> None:
        for key, value in question.tags.items():
            codes = self._tags.get(key)
            if codes is None:
                if len(self._tags) >= TAG_KEYS:
                    continue
                codes = self._tags[key] = _Codes(TAG_VALUES)
            column = self._tag_codes.setdefault(key, [])
            column.extend([NONE] * (number - len(column)))
            column.append(codes.code(value))

    def _add_verdicts(self, verdicts: Mapping[str, Verdict], number: int) -> None:
        for name, verdict in verdicts.items():
            if name not in self._said:
                self._said[name], self._score[name] = [_NO_VERDICT] * number, [-1] * number
                if name not in self.detectors:
                    self.detectors.append(name)
            said, score = self._said[name], self._score[name]
            if len(said) < number:
                said.extend(_NO_VERDICT * (number - len(said)))
                score.extend([-1] * (number - len(score)))
            said.append(_NOT_JUDGED if verdict.answered is None else _YES if verdict.answered else _NO)
            score.append(-1 if verdict.shortcut is None or not math.isfinite(verdict.shortcut) else round(1000 * verdict.shortcut))

    def take(self) -> dict[str, Any]:
        """The part at hand as plain data, detectors and tags by their number in `detectors` and `tags`; a new part begins."""
        names = list(self._tags)
        part = {
            "n": self.rows - self.first,
            "id": self._id,
            "text": self._text,
            "options": self._options,
            "gold": self._gold,
            "kept": "".join(self._kept),
            "codes": self._codes,
            "tags": {str(names.index(key)): codes for key, codes in self._tag_codes.items()},
            "said": {str(self.detectors.index(name)): "".join(said) for name, said in self._said.items()},
            "score": {str(self.detectors.index(name)): score for name, score in self._score.items()},
        }
        self._start()
        return part

    def facets(self) -> tuple[Facet, ...]:
        """What can be filtered by: what has at least two values, or one that some questions lack."""
        titles = {"set": "Data set", "reason": "Reason", "kind": "Kind", "source": "Source", "options": "Options"}
        found = [self._facets[name].facet(name, title) for name, title in titles.items()]
        for number, (key, codes) in enumerate(self._tags.items()):
            if not codes.counts[OTHER]:
                facet = codes.facet(f"tag:{number}", cut(key, 60))
                rest = self.rows - sum(facet.counts)
                found.append(Facet(facet.key, facet.title, facet.values, (facet.counts[0] + rest, *facet.counts[1:])))
        return tuple(facet for facet in found if sum(count > 0 for count in facet.counts) > 1)
