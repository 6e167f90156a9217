"""LLaVA-Video-178K (Zhang et al., 2024, arXiv 2410.02713): conversations on videos, several questions in each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import BadRow, require, text_of
from vidground_core.datasets.inline_options import split_inline
from vidground_core.datasets.many_files import FilesLoader, has_columns, read_rows
from vidground_core.datasets.row_files import Row
from vidground_core.records import Media, Question, SetAside

_KEYS = ("video", "conversations")
_TURN = ("video", "human", "gpt")
_HUMAN, _MODEL = ("human", "user"), ("gpt", "assistant")
_PLACEHOLDER = re.compile(r"\A(?:\s*<(?:image|video)>)+\s*|\s*(?:<(?:image|video)>\s*)+\Z")
_OPENING = re.compile(r"\Aquestion\s*:\s*", re.IGNORECASE)
# Every multiple-choice question of the published set ends with one of the first two; the prompt puts its own instruction there.
_CHOICE_INSTRUCTIONS = (
    "Please respond with only the letter of the correct answer.",
    "Please provide your answer by stating the letter followed by the full option.",
    "Answer with the option's letter from the given choices directly.",
)
_OPEN_INSTRUCTIONS = ("Answer the question using a single word or phrase.", "Answer the question with a short phrase.")


class LLaVAVideoConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field("", description="Folder that the rows' video paths start from; the data file's own folder by default.")
    captions: bool = Field(False, description="Of a folder, read the captions' files (*_cap_*) too, as free-form questions.")


class LLaVAVideoLoader(FilesLoader[LLaVAVideoConfig]):
    """LLaVA-Video-178K and other ShareGPT rows on videos: each pair of turns is a question; read as a stream.

    Options are taken out of the turn's text and the answer may be "B", "B." or "B. text"; a turn that asks for a letter and has no
    options, or whose answer names none of them, is set aside. Turns without options are free-form. Ids are ID, ID-1, ID-2, …
    """

    name = "llava-video"
    version = "1"
    Config = LLaVAVideoConfig
    several_turns = True
    wants = "a JSON file of LLaVA-Video-178K or a folder of them"
    suffixes = (".json", ".jsonl")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first row has `video` and `conversations`."""
        return has_columns(path, _KEYS, suffixes=cls.suffixes)

    def files(self, folder: Path) -> list[Path]:
        """All JSON files below the folder, those of captions only if wished."""
        return [file for file in super().files(folder) if self.config.captions or "_cap" not in file.stem]

    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The turns of one file."""
        self._root = Path(self.config.media_root).expanduser().resolve() if self.config.media_root else path.resolve().parent
        return self.questions(self._turns(read_rows(path)), path, _TURN)

    def identity(self, row: Row) -> str:
        """ID, or ID-N for the turns after the first."""
        return str(row.values.get("turn_id", ""))

    def question(self, row: Row) -> Question:
        """One pair of turns."""
        values = row.values
        require(row, _TURN)
        written = _PLACEHOLDER.sub("", text_of(values["human"], "the question's turn"))
        answer = text_of(values["gpt"], "the answer's turn")
        text, chosen = _without_instruction(written)
        split = split_inline(text)
        if split is None and chosen:
            raise BadRow(f"asks for an option's letter and holds no options A, B, …: {text[:80]!r}")
        video = text_of(values["video"], "video").removeprefix("./")
        return Question(
            id=self.identity(row),
            text=text_of(_OPENING.sub("", split[0] if split else text), "question"),
            answer=split[1].gold(answer) if split else answer,
            options=split[1].texts if split else (),
            kind="multiple choice" if split else "free-form",
            media=(Media(f"{str(self._root).rstrip('/')}/{video.lstrip('/')}"),),
            group=video,
            source=str(values.get("data_source") or self.name),
        )

    def _turns(self, rows: Iterator[Row | SetAside]) -> Iterator[Row | SetAside]:
        """Each pair of turns as a row of its own."""
        for row in rows:
            if isinstance(row, SetAside) or not isinstance(row.values.get("conversations"), list):
                yield row
                continue
            first = self.ids.take(str(row.values.get("id", f"row-{row.index}")))
            outer = {"video": row.values.get("video"), "data_source": row.values.get("data_source")}
            for number, pair in enumerate(_pairs(row)):
                if isinstance(pair, SetAside):
                    yield pair
                else:
                    identity = f"{first}-{number}" if number else first
                    yield Row(row.file, row.line, row.index, {**outer, "human": pair[0], "gpt": pair[1], "turn_id": identity})


def _pairs(row: Row) -> Iterator[tuple[Any, Any] | SetAside]:
    turns = [turn for turn in row.values["conversations"] if not (isinstance(turn, dict) and turn.get("from") == "system")]
    for place in range(0, len(turns), 2):
        pair = turns[place : place + 2]
        speakers = [turn.get("from") if isinstance(turn, dict) else None for turn in pair]
        if len(pair) < 2 or speakers[0] not in _HUMAN or speakers[1] not in _MODEL:
            said = " and ".join(map(repr, speakers))
            yield SetAside(row.file, row.line, f"turns {place + 1} and {place + 2} are from {said}, where human and gpt are expected")
            return
        yield pair[0].get("value"), pair[1].get("value")


def _without_instruction(text: str) -> tuple[str, bool]:
    """The text without the instruction at its end, and whether that asked for an option's letter."""
    for instruction in (*_CHOICE_INSTRUCTIONS, *_OPEN_INSTRUCTIONS):
        if text.rstrip().endswith(instruction):
            return text.rstrip().removesuffix(instruction).rstrip(), instruction in _CHOICE_INSTRUCTIONS
    return text.strip(), False
