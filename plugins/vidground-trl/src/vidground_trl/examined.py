"""What is known of the questions looked at so far, kept while a selection goes on: a broken one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidground_core import Question

FILE = "examined.jsonl"


class ExaminedLog:
    """`examined.jsonl` in `out`: a line for each question with its place in the table, its id, and why it cannot be trained on, if so."""

    def __init__(self, out: Path) -> None:
        self._path = out / FILE
        self._known: dict[int, tuple[str, str]] = {}
        for line in whole_lines(self._path):
            self._known[line["place"]] = line["id"], line["reason"]

    def __len__(self) -> int:
        return len(self._known)

    def known(self, place: int, question: Question) -> bool:
        """Whether the question at that place was looked at before; another one that stands there now was not."""
        return self._known.get(place, ("", ""))[0] == question.id and place in self._known

    def reason(self, place: int) -> str:
        """Why the question at that place cannot be trained on; empty where it can."""
        return self._known[place][1]

    def add(self, places: Sequence[int], questions: Sequence[Question], reasons: Sequence[str]) -> None:
        """Writes what was found."""
        found = {place: (question.id, reason) for place, question, reason in zip(places, questions, reasons, strict=True)}
        self._known |= found
        rows = ({"place": place, "id": name, "reason": reason} for place, (name, reason) in found.items())
        append_lines(self._path, [json.dumps(row, ensure_ascii=False) for row in rows])


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file that something may have died writing: a torn end is cut off the file. None without a file."""
    if not path.is_file():
        return []
    found, whole, data = [], 0, path.read_bytes()
    for line in data.splitlines(keepends=True):
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            break
        if not isinstance(row, dict):
            break
        found.append(row)
        whole += len(line)
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    return found


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Adds those lines and hands them to the system at once."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
