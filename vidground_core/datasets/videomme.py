"""Video-MME (Fu et al., CVPR 2025): 2,700 questions on 900 videos of 11 seconds to an hour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import beside, options_of, require, text_of
from vidground_core.datasets.inline_options import listed
from vidground_core.datasets.lettering import without_letters
from vidground_core.datasets.many_files import FilesLoader, has_columns, read_rows
from vidground_core.datasets.row_files import Row
from vidground_core.records import Media, Question, SetAside

_PUBLISHED = ("videoID", "question_id", "task_type", "question", "options", "answer")
_TABLE = ("video", "sub_category", "task_type", "candidates", "question", "answer")
_TAGS = ("duration", "domain", "sub_category", "task_type")


class VideoMMEConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field("", description="Folder of the videos, VIDEO.mp4; data (for the TSV layout video) beside the file by default.")
    subtitles: str = Field("", description="Folder of the subtitles, VIDEO.srt; the folder subtitle beside the file by default.")


class VideoMMELoader(FilesLoader[VideoMMEConfig]):
    """Video-MME: the published Parquet file (or its folder videomme), or the TSV layout of VLMEvalKit.

    Where a video's subtitles would lie is kept as the tag subtitles; some videos have none.
    """

    name = "videomme"
    version = "1"
    Config = VideoMMEConfig
    wants = "Video-MME's Parquet file, its folder, or a TSV file with its candidates"
    suffixes = (".parquet", ".tsv")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the columns are Video-MME's in one of the two layouts."""
        return has_columns(path, _PUBLISHED, suffixes=(".parquet",)) or has_columns(path, _TABLE, suffixes=(".tsv",))

    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The rows of one file."""
        table = path.suffix.lower() == ".tsv"
        videos = "video" if table else "data"
        self._root = beside(path, self.config.media_root, data_folder="videomme", video_folder=videos)
        self._subtitles = beside(path, self.config.subtitles, data_folder="videomme", video_folder="subtitle")
        return self.questions(read_rows(path), path, _TABLE if table else _PUBLISHED)

    def identity(self, row: Row) -> str:
        """The published `question_id`; in the TSV layout its `index`, else the row's number."""
        written = row.values.get("question_id") or row.values.get("index")
        return str(written) if written not in (None, "") else str(row.index)

    def question(self, row: Row) -> Question:
        """One row of either layout."""
        values = row.values
        if "candidates" in values:
            require(row, _TABLE)
            options, video = listed(values["candidates"], "candidates"), text_of(values["video"], "video")
        else:
            require(row, _PUBLISHED)
            options, video = values["options"], text_of(values["videoID"], "videoID")
        lettered = without_letters(options_of(options))
        tags = {name: str(values[name]) for name in _TAGS if values.get(name)}
        return Question(
            id=self.identity(row),
            text=text_of(values["question"], "question"),
            answer=lettered.gold(text_of(values["answer"], "answer")),
            options=lettered.texts,
            media=(Media(str(self._root / f"{video}.mp4")),),
            group=video,
            source=self.name,
            tags={**tags, "subtitles": str(self._subtitles / f"{video}.srt")},
        )
