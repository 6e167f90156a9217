"""TOMATO (Shangguan et al., ICLR 2025): 1,484 questions on motion, with four to seven options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, beside, gold_at, options_of, require, text_of
from vidground_core.datasets.lettering import without_letters
from vidground_core.datasets.many_files import FilesLoader, has_columns, read_rows
from vidground_core.datasets.row_files import Row, read_json_members
from vidground_core.records import Media, Question, SetAside

_KEYS = ("question", "options", "answer", "demonstration_type")
_FLAT = ("id", "reason_type", "video_path")


class TomatoConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field(
        "", description="Folder of the videos, TYPE/KEY.mp4; the folder videos beside the file or beside its folder data."
    )


class TomatoLoader(FilesLoader[TomatoConfig]):
    """TOMATO: its folder data, one of the six JSON files, or the flat rows of its release as a `datasets` set.

    `note`, which may tell the answer, is not read at all. Ids are FILE-NUMBER, as numbers count within a file.
    """

    name = "tomato"
    version = "1"
    Config = TomatoConfig
    wants = "TOMATO's folder data or one of its files"
    suffixes = (".json", ".parquet")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first entry of a JSON file (of a folder) has TOMATO's keys, or a Parquet file its columns."""
        if has_columns(path, (*_KEYS, *_FLAT), suffixes=(".parquet",)):
            return True
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files or files[0].suffix.lower() != ".json" or not files[0].is_file():
            return False
        first = next(read_json_members(files[0]), None)
        entry = first.values["value"] if isinstance(first, Row) else None
        return isinstance(entry, dict) and all(key in entry for key in _KEYS)

    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The questions of one reasoning type, or all of the flat file."""
        self._root = beside(path, self.config.media_root, data_folder="data", video_folder="videos")
        rows = read_rows(path) if path.suffix.lower() == ".parquet" else _entries(read_json_members(path))
        return self.questions(rows, path, _KEYS)

    def identity(self, row: Row) -> str:
        """FILE-NUMBER, or TYPE-ID of flat rows."""
        return f"{row.values.get('reason_type') or Path(row.file).stem}-{row.values.get('id')}"

    def question(self, row: Row) -> Question:
        """One entry of a file."""
        values = row.values
        require(row, _KEYS)
        lettered = without_letters(options_of(values["options"]))
        kind = text_of(values["demonstration_type"], "demonstration_type")
        if "video_path" in values:
            video = text_of(values["video_path"], "video_path").removeprefix("./").removeprefix("videos/")
        else:
            video = f"{kind}/{text_of(values.get('key'), 'key')}.mp4"
        tags = {"type": values.get("reason_type") or Path(row.file).stem, "motion": values.get("motion_type"), "demonstration": kind}
        return Question(
            id=self.identity(row),
            text=text_of(values["question"], "question"),
            answer=_gold(values["answer"], lettered.texts),
            options=lettered.texts,
            media=(Media(str(self._root / video)),),
            group=video,
            source=self.name,
            tags={name: str(value) for name, value in tags.items() if value},
        )


def _gold(answer: Any, options: tuple[str, ...]) -> str:
    if isinstance(answer, bool):
        raise BadRow(f"answer {answer!r} is not the place of an option")
    return gold_at(answer, options, "answer")


def _entries(members: Iterator[Row | SetAside]) -> Iterator[Row | SetAside]:
    for row in members:
        if isinstance(row, SetAside):
            yield row
        elif not isinstance(row.values["value"], dict):
            yield SetAside(row.file, row.line, f"entry {row.values['key']!r} is not an object")
        else:
            yield Row(row.file, row.line, row.index, {**row.values["value"], "id": row.values["key"]})
