"""MMVU (Zhao et al., CVPR 2025): 1,000 expert-level questions of the validation set, 625 with options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, beside, gold_of, require, text_of
from vidground_core.datasets.many_files import FilesLoader, has_columns, read_rows
from vidground_core.datasets.open_answers import open_kind
from vidground_core.datasets.row_files import Row
from vidground_core.records import Media, Question, SetAside

_KEYS = ("id", "video", "question_type", "question", "choices", "answer")
_TYPES = ("multiple-choice", "open-ended")


class MMVUConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field(
        "", description="Folder of the videos, SUBJECT/N.mp4; the folder videos beside the file or beside its folder data."
    )
    only: Literal["all", "multiple-choice", "open-ended"] = Field(
        "all", description="Rows to read: all, those with options, or the others."
    )


class MMVULoader(FilesLoader[MMVUConfig]):
    """MMVU: validation.json or its re-releases as Parquet; open-ended questions are numerical where the answer is a number.

    `metadata.rationale`, which gives the answer away, is not read at all.
    """

    name = "mmvu"
    version = "1"
    Config = MMVUConfig
    wants = "MMVU's validation.json or a Parquet file of it"
    suffixes = (".json", ".jsonl", ".parquet")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the columns are MMVU's."""
        return has_columns(path, _KEYS, suffixes=cls.suffixes)

    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The rows of one file."""
        self._root = beside(path, self.config.media_root, data_folder="data", video_folder="videos")
        return self.questions(self._chosen(read_rows(path)), path, _KEYS)

    def _chosen(self, rows: Iterator[Row | SetAside]) -> Iterator[Row | SetAside]:
        for row in rows:
            written = None if isinstance(row, SetAside) else row.values.get("question_type")
            if self.config.only == "all" or written not in _TYPES or written == self.config.only:
                yield row

    def identity(self, row: Row) -> str:
        """The published id."""
        return str(row.values.get("id", ""))

    def question(self, row: Row) -> Question:
        """One row."""
        values = row.values
        require(row, _KEYS)
        if values["question_type"] not in _TYPES:
            raise BadRow(f"question_type {values['question_type']!r} is neither {' nor '.join(_TYPES)}")
        answer = text_of(values["answer"], "answer")
        options: tuple[str, ...] = ()
        if values["question_type"] == "multiple-choice":
            options, answer = _choice(values["choices"], answer)
        video = _video(values)
        metadata = values.get("metadata")
        subject = metadata.get("subject") if isinstance(metadata, Mapping) else None
        return Question(
            id=text_of(values["id"], "id"),
            text=text_of(values["question"], "question"),
            answer=answer,
            options=options,
            kind="multiple choice" if options else open_kind(answer),
            media=(Media(str(self._root / video)),),
            group=video,
            source=self.name,
            tags={"subject": str(subject or video.partition("/")[0])},
        )


def _choice(choices: Any, answer: str) -> tuple[tuple[str, ...], str]:
    if not isinstance(choices, Mapping):
        raise BadRow(f"choices {choices!r} are not an object of letters and texts")
    texts = {letter: text_of(text, f"choice {letter}") for letter, text in choices.items() if text not in (None, "")}
    if len(texts) < 2:
        raise BadRow(f"multiple-choice with {len(texts)} choices")
    if answer not in texts and answer not in texts.values():
        raise BadRow(f"the answer {answer!r} is none of the choices {', '.join(texts)}")
    options = tuple(texts.values())
    return options, gold_of(texts.get(answer, answer), options)


def _video(values: Mapping[str, Any]) -> str:
    written = text_of(values.get("video_path") or values["video"], "video")
    before, found, below = written.rpartition("videos/")
    return below if found else before + below
