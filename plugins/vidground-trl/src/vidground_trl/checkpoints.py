"""Checkpoints that a broken run resumes from. A marker is written last and holds the sizes of all files, so one that is not whole shows."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from vidground_trl.rows import write_whole

MARKER = "complete.json"


def mark_complete(folder: Path, step: int) -> None:
    """Says that all files of the checkpoint are written, and how large they are, once they are on the disk."""
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)}
    sync(folder)
    write_whole(folder / MARKER, json.dumps({"step": step, "files": sizes}))


def sync(folder: Path) -> None:
    """Waits until the files of a folder are on the disk."""
    for path in [*_files(folder), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def newest_complete(folder: Path) -> Path | None:
    """The complete checkpoint of the highest step in `folder`; None where there is none."""
    return max((path for path in _checkpoints(folder) if not problem(path)), key=step_of, default=None)


def problem(checkpoint: Path) -> str:
    """Why nothing can be resumed from a checkpoint, in words that follow its name; empty where it is whole.

    A marker of an earlier version does not say how large the files are.
    """
    try:
        sizes: dict[str, int] = json.loads((checkpoint / MARKER).read_text(encoding="utf-8")).get("files", {})
    except FileNotFoundError:
        return "is not whole (the run broke while writing it)"
    except (ValueError, AttributeError):
        return f"is damaged (its {MARKER} does not read)"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file():
            return f"is damaged ({name} is gone)"
        if path.stat().st_size != size:
            return f"is damaged ({name} has {path.stat().st_size:,} of {size:,} bytes)"
    return ""


def remove_incomplete(folder: Path) -> list[tuple[str, str]]:
    """Removes the checkpoints that nothing can be resumed from and returns their names and what is wrong with each."""
    found = [(path, wrong) for path in _checkpoints(folder) if (wrong := problem(path))]
    for path, _ in found:
        shutil.rmtree(path)
    return [(path.name, wrong) for path, wrong in found]


def step_of(checkpoint: Path) -> int:
    """The optimizer step of `checkpoint-N`."""
    return int(checkpoint.name.rpartition("-")[2])


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARKER]


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
