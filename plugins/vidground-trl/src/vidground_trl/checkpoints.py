"""Checkpoints that a broken run resumes from. A marker is written last, so a half-written checkpoint is recognised and removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from vidground_trl.rows import write_whole

MARKER = "complete.json"


def mark_complete(folder: Path, step: int) -> None:
    """Says that all files of the checkpoint are written."""
    write_whole(folder / MARKER, json.dumps({"step": step}))


def newest_complete(folder: Path) -> Path | None:
    """The complete checkpoint of the highest step in `folder`; None where there is none."""
    complete = [path for path in _checkpoints(folder) if (path / MARKER).is_file()]
    return max(complete, key=step_of, default=None)


def remove_incomplete(folder: Path) -> list[Path]:
    """Removes and returns the checkpoints without a marker: a kill hit while they were written."""
    incomplete = [path for path in _checkpoints(folder) if not (path / MARKER).is_file()]
    for path in incomplete:
        shutil.rmtree(path)
    return incomplete


def step_of(checkpoint: Path) -> int:
    """The optimizer step of `checkpoint-N`."""
    return int(checkpoint.name.rpartition("-")[2])


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.is_dir() and path.name.rpartition("-")[2].isdigit()]


def cut_after(path: Path, step: int) -> None:
    """Drops the lines of a JSONL file that a run wrote after `step` before it broke; a half-written last line goes too."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["step"] <= step:
            kept.append(line + "\n")
    write_whole(path, "".join(kept))
