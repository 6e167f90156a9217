"""Video-R1 (Feng et al., 2025, arXiv 2503.21776): 263,071 training rows, 56% of them on images, and what is published in its format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, FileLoader, options_of, require, seconds_of, text_of
from vidground_core.datasets.identifiers import UniqueIds
from vidground_core.datasets.lettering import without_letters
from vidground_core.datasets.row_files import Row, find_file, first_record, is_json_array, read_json_array, read_json_lines
from vidground_core.records import KINDS, Kind, Media, Question, SetAside

_KEYS = ("problem", "data_type", "problem_type", "solution")
_ANSWER = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)
# `frame` marks MVBench's TVQA videos in the evaluation files of TW-GRPO: videos that were published as frames.
_MEDIA_TYPES: Mapping[str, Literal["video", "image"]] = {"video": "video", "image": "image", "frame": "video"}


class VideoR1Config(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field("", description="Folder that the paths ./SOURCE/… start from; the data file's own folder by default.")
    media: Literal["all", "video", "image"] = Field("all", description="Rows to read: all, those on videos, or those on images.")
    process: bool = Field(True, description="Keep the written reasoning of Video-R1-COT as the tag process; no prompt ever shows it.")


class VideoR1Loader(FileLoader[VideoR1Config]):
    """Video-R1-260k, Video-R1-COT-165k and evaluation sets in their format: one JSON array, read as a stream; JSON Lines too.

    The gold is what stands in `<answer>` of `solution`; letters before options are taken off. Options are read for multiple choice
    only, as in the published training code. A `problem_id` that repeats gets a number: `ID#2`; without one the row's number is the id.
    """

    name = "video-r1"
    version = "1"
    Config = VideoR1Config

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first object of a JSON file has Video-R1's keys."""
        if path.suffix.lower() not in (".json", ".jsonl") or not path.is_file():
            return False
        first = first_record(path)
        return all(key in first for key in _KEYS)

    def load(self) -> Iterator[Question | SetAside]:
        """Every row in file order."""
        path = find_file(self.config.path, loader=self.name, wants="a JSON file in Video-R1's format")
        root = self.config.media_root
        self._root = str(Path(root).expanduser().resolve() if root else path.resolve().parent).rstrip("/")
        self._ids = UniqueIds()
        rows = read_json_array(path) if is_json_array(path) else read_json_lines(path)
        for item in self.questions(rows, path, _KEYS):
            if isinstance(item, SetAside) or self.config.media in ("all", item.media[0].type):
                yield item

    def identity(self, row: Row) -> str:
        """The `problem_id`, else the row's number."""
        written = row.values.get("problem_id")
        return f"row-{row.index}" if written is None or written == "" else str(written)

    def question(self, row: Row) -> Question:
        """One row of the array."""
        values = row.values
        identity = self._ids.take(self.identity(row))
        require(row, _KEYS)
        kind = _kind(values["problem_type"])
        answer = _answer(values["solution"])
        options: tuple[str, ...] = ()
        if kind == "multiple choice":
            lettered = without_letters(options_of(values.get("options")))
            options, answer = lettered.texts, lettered.gold(answer)
        path = _path(values)
        return Question(
            id=identity,
            text=text_of(values["problem"], "problem"),
            answer=answer,
            options=options,
            kind=kind,
            media=(self._medium(path, values),),
            group=path,
            source=str(values.get("data_source") or self.name),
            tags={"process": str(values["process"])} if self.config.process and values.get("process") else {},
        )

    def _medium(self, path: str, values: Mapping[str, Any]) -> Media:
        written = values["data_type"]
        if not isinstance(written, str) or written not in _MEDIA_TYPES:
            raise BadRow(f"data_type {written!r} is none of {', '.join(_MEDIA_TYPES)}")
        start, end = seconds_of(values.get("start"), "start"), seconds_of(values.get("end"), "end")
        located = path if path.startswith("/") and not self.config.media_root else f"{self._root}/{path.lstrip('/')}"
        return Media(located, _MEDIA_TYPES[written], start, end)


def _kind(value: Any) -> Kind:
    if value not in KINDS:
        raise BadRow(f"problem_type {value!r} is none of {', '.join(KINDS)}")
    return cast(Kind, value)


def _answer(solution: Any) -> str:
    match = _ANSWER.search(text_of(solution, "solution"))
    if match is None:
        raise BadRow(f"no <answer>…</answer> in the solution {solution!r}")
    return text_of(match.group(1), "the answer in the solution")


def _path(values: Mapping[str, Any]) -> str:
    return text_of(values.get("path", values.get("video")), "path").removeprefix("./")
