"""Questions with their verdicts, read back from a detection as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from vidground_core.errors import InputError, nearest
from vidground_core.filters.base import Judged, JudgedRows
from vidground_core.records import Question, Verdict
from vidground_core.runs.layout import Layout, folder_name
from vidground_core.tables import count, parts, read


def detector_folders(layout: Layout) -> dict[str, Path]:
    """The tables of verdicts there are: folder by detector name ('--' in a folder's name stands for ':')."""
    folder = layout.root / layout.verdicts
    below = sorted(entry for entry in folder.iterdir() if parts(entry)) if folder.is_dir() else []
    return {unquote(entry.name).replace("--", ":"): entry for entry in below}


def judged_rows(directory: Path | Layout, detectors: Sequence[str] | None = None) -> JudgedRows:
    """A function that starts a pass over all questions with their verdicts by detector name; all detectors by default.

    Raises InputError at once where there is no table of questions, a named detector has no verdicts or its table is not complete; the
    pass raises it where a verdict stands beside another question than its own.
    """
    layout = directory if isinstance(directory, Layout) else Layout(directory)
    if not parts(layout.questions_folder):
        raise InputError(f"{str(layout.root)!r} has no questions ({layout.questions}/); name the output directory of vg detect")
    folders = detector_folders(layout)
    if detectors is None and not folders:
        raise InputError(f"{str(layout.root)!r} has no verdicts ({layout.verdicts}/); run vg detect on it first")
    chosen = {name: _chosen(layout, folders, name) for name in (folders if detectors is None else detectors)}
    questions = count(layout.questions_folder)
    for name, folder in chosen.items():
        if (verdicts := count(folder)) != questions:
            raise InputError(
                f"{str(layout.root)!r}: the detector {name!r} has {verdicts} verdicts for {questions} questions; "
                "run the same vg detect command again, it goes on where it was left"
            )
    return lambda: _judged(layout.questions_folder, chosen)


def _chosen(layout: Layout, folders: dict[str, Path], name: str) -> Path:
    folder = layout.verdicts_folder(name)
    if folder not in folders.values():
        raise InputError(f"{str(layout.root)!r} has no verdicts of a detector {name!r} ({folder_name(name)}/); {nearest(name, folders)}")
    return folder


def _judged(questions: Path, folders: dict[str, Path]) -> Iterator[Judged]:
    tables = [read(folder, Verdict) for folder in folders.values()]
    for question, *verdicts in zip(read(questions, Question), *tables, strict=True):
        for name, verdict in zip(folders, verdicts, strict=True):
            if verdict.question != question.id:
                raise InputError(
                    f"{folders[name]}: a verdict on {verdict.question!r} stands beside the question {question.id!r}; "
                    "delete that folder and run vg detect again"
                )
        yield question, {verdict.detector: verdict for verdict in verdicts}
