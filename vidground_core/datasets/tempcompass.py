"""TempCompass (Liu et al., ACL 2024 Findings): five temporal aspects, four tasks, videos in conflicting pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, beside, gold_of, require, text_of
from vidground_core.datasets.inline_options import LETTERED_LINE, NAMED_LINE, split_inline
from vidground_core.datasets.lettering import LetteredOptions, split_letter
from vidground_core.datasets.many_files import FilesLoader, has_columns, read_rows
from vidground_core.datasets.row_files import Row, read_json_members
from vidground_core.records import Media, Question, SetAside

_TASKS = ("multi-choice", "yes_no", "caption_matching", "captioning")
_MEMBER = ("key", "value")
_FLAT = ("video_id", "question", "answer", "dim")
_YES_NO = ("yes", "no")
_CAPTION = "Generated Caption:"


class TempCompassConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field(
        "", description="Folder of the videos, VIDEO_ID.mp4; videos beside the file or its folder questions by default."
    )


class TempCompassLoader(FilesLoader[TempCompassConfig]):
    """TempCompass: its folder questions, one of the four tasks' JSON files, or the flat rows of its release as a `datasets` set.

    Options are taken out of the question's text. Yes/no questions have the options yes and no. The captioning task, where one of several
    pieces of information is to be told, is read as the choice of that piece. Ids are TASK-VIDEO-ASPECT-NUMBER.
    """

    name = "tempcompass"
    version = "1"
    Config = TempCompassConfig
    wants = "TempCompass's folder questions or one of its files"
    suffixes = (".json", ".parquet")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a folder with a task's file, a file of videos, aspects and questions, or flat rows."""
        if path.is_dir():
            return any((path / f"{task}.json").is_file() for task in _TASKS)
        if has_columns(path, _FLAT, suffixes=(".parquet",)):
            return True
        if path.suffix.lower() != ".json" or not path.is_file():
            return False
        first = next(read_json_members(path), None)
        aspects = first.values["value"] if isinstance(first, Row) else None
        lists = list(aspects.values()) if isinstance(aspects, dict) else []
        entries = lists[0] if lists and isinstance(lists[0], list) else []
        return bool(entries) and isinstance(entries[0], dict) and set(entries[0]) == {"question", "answer"}

    def files(self, folder: Path) -> list[Path]:
        """The four tasks' files where there are any, so that predictions beside them are left alone; else all that fit."""
        return [folder / f"{task}.json" for task in _TASKS if (folder / f"{task}.json").is_file()] or super().files(folder)

    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The questions of one task."""
        self._root = beside(path, self.config.media_root, data_folder="questions", video_folder="videos")
        if path.suffix.lower() == ".parquet":
            self._task = path.resolve().parent.name
            return self.questions(read_rows(path), path, _FLAT)
        self._task = path.stem
        return self.questions(_entries(read_json_members(path)), path, _FLAT)

    def identity(self, row: Row) -> str:
        """TASK-VIDEO-ASPECT-NUMBER; the number counts within video and aspect, or all rows where they are flat."""
        return f"{self._task}-{row.values.get('video_id')}-{row.values.get('dim')}-{row.values.get('number', row.index)}"

    def question(self, row: Row) -> Question:
        """One entry of a video's aspect."""
        require(row, _FLAT)
        written, answer = text_of(row.values["question"], "question"), text_of(row.values["answer"], "answer")
        text, options, gold = _parts(written.removesuffix(_CAPTION).rstrip(), answer)
        video = text_of(row.values["video_id"], "video_id")
        return Question(
            id=self.identity(row),
            text=text,
            answer=gold,
            options=options,
            media=(Media(str(self._root / f"{video}.mp4")),),
            group=video,
            source=self.name,
            tags={"task": self._task, "aspect": text_of(row.values["dim"], "aspect")},
        )


def _parts(written: str, answer: str) -> tuple[str, tuple[str, ...], str]:
    lettered = split_inline(written, LETTERED_LINE)
    if lettered is not None:
        return lettered[0], lettered[1].texts, lettered[1].gold(answer)
    named = split_inline(written, NAMED_LINE)
    if named is not None:
        return named[0], named[1].texts, _named_gold(named[1], answer)
    if answer.casefold() in _YES_NO:
        return written, _YES_NO, answer.casefold()
    raise BadRow(f"no options in the question, and the answer {answer!r} is neither yes nor no")


def _named_gold(options: LetteredOptions, answer: str) -> str:
    match = NAMED_LINE.fullmatch(answer)
    if match is not None:
        label, text = match.group(1) or match.group(2), match.group(3).strip()
    else:  # captioning: the letter of the information, and its essence
        label, text = split_letter(answer) or ("", "")
    if label not in options.letters:
        raise BadRow(f"the answer {answer!r} names none of the options {', '.join(options.letters)}")
    gold = options.texts[options.letters.index(label)]
    if match is not None and gold != text:
        raise BadRow(f"the answer {answer!r} does not match the option {label}, {gold!r}")
    return gold_of(gold, options.texts)


def _entries(members: Iterator[Row | SetAside]) -> Iterator[Row | SetAside]:
    """Each question as a row of its own, at the line where its video begins."""
    for row in members:
        if isinstance(row, SetAside):
            yield row
            continue
        video, aspects = row.values["key"], row.values["value"]
        if not isinstance(aspects, dict) or not all(isinstance(entries, list) for entries in aspects.values()):
            yield SetAside(row.file, row.line, f"video {video!r}: not an object of aspects with lists of questions")
            continue
        for aspect, entries in aspects.items():
            for number, entry in enumerate(entries):
                values = entry if isinstance(entry, dict) else {}
                yield Row(row.file, row.line, row.index, {**values, "video_id": video, "dim": aspect, "number": number})
