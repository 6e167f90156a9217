"""Rows that could not be used, and how reasons are counted and listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidground_core.records import Question

from .data import Reason, SetAsideReport
from .jsonl import read_objects
from .sample import EVIDENCE_LIMIT, cut

REASONS_SHOWN = 12
SET_ASIDE_SHOWN = 200
_REASONS_COUNTED = 10_000


def top_reasons(counts: Counter[str]) -> tuple[Reason, ...]:
    """The most frequent reasons, then all others as one."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [Reason(cut(text, EVIDENCE_LIMIT), count) for text, count in ordered[:REASONS_SHOWN]]
    rest = ordered[REASONS_SHOWN:]
    return (*shown, *([Reason(f"{len(rest):,} other reasons", sum(count for _, count in rest))] if rest else []))


class SetAsideRows:
    """The rows of set_aside.jsonl in `folders`; None stands for none.

    A row that names a medium of a question among the data was set aside late, when the medium was needed; `meet` finds those. The row
    of a repeated id names the data's file instead, and never became a question.
    """

    def __init__(self, *folders: Path | None) -> None:
        self.total = self.late_rows = self.late_questions = 0
        self._reasons: Counter[str] = Counter()
        self._shown: list[Mapping[str, str]] = []
        self._files: dict[str, Counter[str]] = {}
        for folder in folders:
            for row in read_objects(folder / "set_aside.jsonl") if folder else ():
                self._add(row)

    def _add(self, row: Mapping[str, Any]) -> None:
        self.total += 1
        reason = str(row.get("reason", ""))
        self._reasons[reason if reason in self._reasons or len(self._reasons) < _REASONS_COUNTED else "other"] += 1
        if row.get("line") is None and row.get("id"):
            self._files.setdefault(str(row["id"]), Counter())[str(row.get("file", ""))] += 1
        if len(self._shown) < SET_ASIDE_SHOWN:
            self._shown.append({name: _text(row.get(name)) for name in ("file", "line", "id", "reason")})

    def meet(self, question: Question) -> None:
        """Notes that this question is among the data."""
        files = self._files.get(question.id)
        late = sum(files[path] for path in {medium.path for medium in question.media}) if files else 0
        self.late_questions += late > 0
        self.late_rows += late

    def report(self) -> SetAsideReport | None:
        """What the page shows; None where nothing was set aside."""
        return SetAsideReport(self.total, top_reasons(self._reasons), tuple(self._shown)) if self.total else None


def _text(value: object) -> str:
    return "" if value is None else cut(str(value), EVIDENCE_LIMIT)
