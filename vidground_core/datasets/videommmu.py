"""Video-MMMU (Hu et al., 2025, arXiv 2501.13826): 300 lectures, 900 questions on three tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import beside, options_of, require, text_of
from vidground_core.datasets.lettering import without_letters
from vidground_core.datasets.many_files import FilesLoader, has_columns, read_rows
from vidground_core.datasets.open_answers import open_kind
from vidground_core.datasets.row_files import Row
from vidground_core.records import Media, Question, SetAside

_KEYS = ("id", "question", "options", "answer", "question_type")
_TRACKS = ("Adaptation", "Comprehension", "Perception")
# The videos' folders, by discipline, and the subjects in each: those of MMMU (Yue et al., CVPR 2024, Table 1).
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "Art": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Engineering": (
        "Agriculture",
        "Architecture_and_Engineering",
        "Computer_Science",
        "Electronics",
        "Energy_and_Power",
        "Materials",
        "Mechanical_Engineering",
    ),
    "Humanities": ("History", "Literature", "Psychology", "Sociology"),
    "Medicine": ("Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy", "Public_Health"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
}


class VideoMMMUConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field(
        "",
        description="Folder of the videos, DISCIPLINE/ID.mp4; the folder above the tracks' folders, or the file's own, by default.",
    )


class VideoMMMULoader(FilesLoader[VideoMMMUConfig]):
    """Video-MMMU: the folder of its three tracks (Adaptation, Comprehension, Perception), one of them, or one file.

    Questions without options are numerical where the answer is a number, else free-form. The picture of an Adaptation question is shown at
    the end of its video. A track's name stands before the id where it can be told, as ids count within a track.
    """

    name = "videommmu"
    version = "1"
    Config = VideoMMMUConfig
    wants = "Video-MMMU's folder with its tracks, or a Parquet or JSON file of one"
    suffixes = (".parquet", ".jsonl", ".json")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a folder of the tracks, or the columns are Video-MMMU's and no other benchmark's."""
        if path.is_dir() and any((path / track).is_dir() for track in _TRACKS):
            return True
        return has_columns(path, _KEYS, suffixes=cls.suffixes) and not has_columns(path, ("video",), suffixes=cls.suffixes)

    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The rows of one track."""
        parts = (path.stem, path.resolve().parent.name)
        self._track = next((track for track in _TRACKS for part in parts if part.casefold().startswith(track.casefold())), "")
        self._root = beside(path, self.config.media_root, data_folder=self._track, video_folder="")
        return self.questions(read_rows(path), path, _KEYS)

    def identity(self, row: Row) -> str:
        """TRACK-ID."""
        return f"{self._track}-{row.values.get('id')}".lstrip("-")

    def question(self, row: Row) -> Question:
        """One row of a track."""
        values = row.values
        require(row, _KEYS)
        video = text_of(values["id"], "id")
        written = text_of(values["answer"], "answer")
        lettered = without_letters(options_of(values["options"])) if values["options"] else None
        subject = "_".join(video.split("_")[1:-1])
        folder = next((folder for folder, subjects in SUBJECTS.items() if subject in subjects), "")
        tags = {"track": self._track, "subject": subject, "type": str(values["question_type"] or "")}
        return Question(
            id=self.identity(row),
            text=text_of(values["question"], "question"),
            answer=lettered.gold(written) if lettered else written,
            options=lettered.texts if lettered else (),
            kind="multiple choice" if lettered else open_kind(written),
            media=(Media(str(self._root / folder / f"{video}.mp4")),),
            group=video,
            source=self.name,
            tags={name: value for name, value in tags.items() if value},
        )
