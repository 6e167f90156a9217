"""Video-R1's own JSON, for its training code and what is built on it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from vidground_core.evaluation.prompts import LETTERS
from vidground_core.exports.files import JsonArrayFile, RowFile
from vidground_core.exports.media import CannotExport, MediaPaths
from vidground_core.exports.prompting import neutral
from vidground_core.exports.rows import RECORD, RowConfig, RowExporter, record_of
from vidground_core.records import Question


class VideoR1ExportConfig(RowConfig):
    """Options of the exporter."""

    task: Literal["rl", "sft"] = Field(
        "rl", description="rl: Video-R1-260k's rows; sft: those of Video-R1-COT, rows with a reasoning only."
    )
    media_root: str = Field("/", description="Folder that the paths ./… start from; the trainer puts its own in place of the dot.")


class VideoR1Exporter(RowExporter[VideoR1ExportConfig]):
    """Video-R1's JSON array: problem, options, solution, path; read by its training code and by the loader video-r1.

    The format has one video or image a question, lettered options, and `path` from a dot on. `problem_id` is a text, so that numbers and
    other ids are one type in Arrow. Tags of media are broken up in all texts, since its code puts them into prompts and answers; the
    question as it was stands in `vidground`. Source: tulerfeng/Video-R1, src/r1-v/src/open_r1/grpo.py and sft_video.py.
    """

    name = "video-r1"
    version = "1"
    Config: ClassVar[type[Any]] = VideoR1ExportConfig
    file = "train.json"

    def says_spans(self) -> bool:
        """As start and end."""
        return True

    def opens_urls(self) -> Collection[str]:
        """None: its code puts a folder before every path."""
        return ()

    def open(self, path: Path, name: str) -> RowFile:
        """One JSON array, as published."""
        return JsonArrayFile(path)

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport without a reasoning (sft), and where there is not exactly one video or image."""
        if len(question.media) != 1:
            raise CannotExport(f"Video-R1 has one video or image a question, and this one has {len(question.media)}")
        (medium,) = question.media
        process = question.tags.get("process", "")
        if self.config.task == "sft" and not process:
            raise CannotExport("no written reasoning (the tag process), which a row of Video-R1-COT is")
        answer = LETTERS[question.options.index(question.answer)] if question.options else question.answer
        row: dict[str, Any] = {
            "problem_id": question.id,
            "problem": neutral(question.text),
            "data_type": medium.type,
            "problem_type": question.kind,
            "options": [f"{letter}. {neutral(text)}" for letter, text in zip(LETTERS, question.options, strict=False)],
            "solution": f"<answer>{neutral(answer)}</answer>",
            "path": _dotted(medium.path, self.media),
            "data_source": question.source,
        }
        if self.config.task == "sft":
            row["process"] = neutral(process)
        row |= {name: seconds for name, seconds in (("start", medium.start), ("end", medium.end)) if seconds is not None}
        return row | {RECORD: record_of(question)}


def _dotted(path: str, media: MediaPaths) -> str:
    return f"./{media.written(path)}"
