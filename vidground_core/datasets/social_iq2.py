"""Social-IQ 2.0 (Wilf et al., 2023): four options on the social situation in clips of a minute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, FileLoader, beside, gold_at, options_of, require, seconds_of, text_of
from vidground_core.datasets.identifiers import UniqueIds
from vidground_core.datasets.row_files import Row, find_file, first_record, read_json_lines
from vidground_core.records import Media, Question, SetAside

_OPTIONS = ("a0", "a1", "a2", "a3")
_KEYS = ("qid", "q", "vid_name", *_OPTIONS)


class SocialIQ2Config(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field("", description="Folder of the videos, VID_NAME.mp4; the folder video beside the file or beside its folder qa.")


class SocialIQ2Loader(FileLoader[SocialIQ2Config]):
    """Social-IQ 2.0's question files (qa_train.json, qa_val.json): JSON Lines with four options.

    `ans_corr` and `idx_types` give the right option away and are not read at all. A `qid` that repeats (23 rows of the training set,
    each another question) gets a number: `ID#2`. The published test file has no gold: all its rows are set aside.
    """

    name = "social-iq2"
    version = "1"
    Config = SocialIQ2Config

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first object of a JSON file has Social-IQ 2.0's keys."""
        if path.suffix.lower() not in (".json", ".jsonl") or not path.is_file():
            return False
        return all(key in first_record(path) for key in _KEYS)

    def load(self) -> Iterator[Question | SetAside]:
        """Every row in file order."""
        path = find_file(self.config.path, loader=self.name, wants="a Social-IQ 2.0 question file (JSON Lines)")
        self._root = beside(path, self.config.media_root, data_folder="qa", video_folder="video")
        self._ids = UniqueIds()
        yield from self.questions(read_json_lines(path), path, _KEYS)

    def identity(self, row: Row) -> str:
        """The `qid` as written, before repeated ones get a number."""
        return str(row.values.get("qid", ""))

    def question(self, row: Row) -> Question:
        """One line of the file."""
        values = row.values
        require(row, _KEYS)
        options = options_of([values[key] for key in _OPTIONS])
        if values.get("answer_idx") is None:
            raise BadRow("no gold answer: there is no 'answer_idx', as in the published test file")
        identity, video = text_of(values["qid"], "qid"), text_of(values["vid_name"], "vid_name")
        answer = gold_at(values["answer_idx"], options, "answer_idx")
        start, end = _span(values.get("ts"))
        text = text_of(values["q"], "question")
        return Question(
            id=self._ids.take(identity),
            text=text,
            answer=answer,
            options=options,
            media=(Media(str(self._root / f"{video}.mp4"), start=start, end=end),),
            group=video,
            source=self.name,
        )


def _span(value: Any) -> tuple[float | None, float | None]:
    if value is None:
        return None, None
    begin, _, end = text_of(value, "ts").partition("-")
    try:
        span = float(begin), float(end)
    except ValueError as error:
        raise BadRow(f"ts {value!r} is not START-END in seconds") from error
    return seconds_of(span[0], "ts start"), seconds_of(span[1], "ts end")
