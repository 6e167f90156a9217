"""The list of rows and media that could not be used: appended to as they are met, each row once."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidground_core.records import SetAside
from vidground_core.tables import append_jsonl


class SetAsideLog:
    """`set_aside.jsonl`, one `{"file", "line", "reason", "id"}` a line. A row met again on resume is not written again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        self._known = set(read_set_aside(path))

    def add(self, row: SetAside) -> None:
        """Appends the row unless it stands there already."""
        if row not in self._known:
            self._known.add(row)
            append_jsonl(self.path, [asdict(row)])

    def __len__(self) -> int:
        return len(self._known)


def read_set_aside(path: Path) -> list[SetAside]:
    """The rows in a `set_aside.jsonl`; none where the file is not there."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
    return [SetAside(**{name: row[name] for name in ("file", "line", "reason", "id")}) for row in rows]


def _drop_torn_line(path: Path) -> None:
    """Cuts off what a killed process wrote of a last line."""
    if not path.exists():
        path.touch()
        return
    with path.open("r+b") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
            file.flush()
            os.fsync(file.fileno())
