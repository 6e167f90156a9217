"""NExT-QA multiple choice (Xiao et al., CVPR 2021) and its subset with grounding, NExT-GQA (Xiao et al., CVPR 2024)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, FileLoader, beside, gold_at, gold_of, options_of, text_of
from vidground_core.datasets.row_files import Row, csv_header, find_file, read_csv
from vidground_core.errors import InputError
from vidground_core.records import Media, Question, SetAside

_OPTIONS = ("a0", "a1", "a2", "a3", "a4")
_COLUMNS = ("question", "answer", "qid", "type", *_OPTIONS)
_VIDEO_COLUMNS = ("video", "video_id")


class NextQAConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field("", description="Folder of the videos, VIDEO.mp4; the folder NExTVideo beside the CSV file by default.")
    video_map: str = Field("", description="JSON file from video to path without .mp4 (map_vid_vidorID.json), for videos kept as in VidOR.")


class NextQALoader(FileLoader[NextQAConfig]):
    """NExT-QA's multiple-choice CSV files: five options, questions of the types CW CH TN TC TP DC DL DO.

    The answer is an index in the published files and a text in NExT-GQA's; the first row says which holds for the whole file.
    """

    name = "nextqa"
    version = "1"
    Config = NextQAConfig

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a CSV file whose header has NExT-QA's columns."""
        if path.suffix.lower() != ".csv" or not path.is_file():
            return False
        header = csv_header(path)
        return all(column in header for column in _COLUMNS) and any(column in header for column in _VIDEO_COLUMNS)

    def load(self) -> Iterator[Question | SetAside]:
        """Every row in file order; ids are VIDEO_QID, as `qid` counts within a video only."""
        path = find_file(self.config.path, loader=self.name, wants="a NExT-QA CSV file")
        self._root = beside(path, self.config.media_root, video_folder="NExTVideo")
        self._video_map = self._read_map()
        self._by_index: bool | None = None
        yield from self.questions(read_csv(path), path, _COLUMNS)

    def identity(self, row: Row) -> str:
        """VIDEO_QID."""
        return f"{row.values.get('video', row.values.get('video_id'))}_{row.values.get('qid')}"

    def question(self, row: Row) -> Question:
        """One row of the CSV file."""
        values = row.values
        options = options_of([values[column] for column in _OPTIONS])
        video = text_of(values.get("video", values.get("video_id")), "video")
        answer = text_of(values["answer"], "answer")
        if self._by_index is None:
            self._by_index = answer.isdigit()
        return Question(
            id=f"{video}_{text_of(values['qid'], 'qid')}",
            text=text_of(values["question"], "question"),
            answer=gold_at(answer, options, "answer") if self._by_index else gold_of(answer, options),
            options=options,
            media=(Media(str(self._root / f"{self._file(video)}.mp4")),),
            group=video,
            source=self.name,
            tags={"type": text_of(values["type"], "type")},
        )

    def _file(self, video: str) -> str:
        if self._video_map is None:
            return video
        if video not in self._video_map:
            raise BadRow(f"video {video!r} is not in {self.config.video_map}")
        return str(self._video_map[video])

    def _read_map(self) -> dict[str, Any] | None:
        if not self.config.video_map:
            return None
        path = find_file(self.config.video_map, loader=f"{self.name} video_map", wants="a JSON file")
        try:
            loaded = json.loads(path.read_bytes())
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON: {error}") from error
        if not isinstance(loaded, dict):
            raise InputError(f"{path}: expected an object from video to path, found {type(loaded).__name__}")
        return loaded
