"""What exporters share whose files are rows, one a question: options, media, prompts, files and rows that cannot be written."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import orjson
from pydantic import Field

from vidground_core.evaluation.prompts import PromptChoice
from vidground_core.exports.base import ExportConfig, Exporter, ExportJob
from vidground_core.exports.files import JsonLinesFile, RowFile
from vidground_core.exports.media import MEDIA_TYPES, CannotExport, MediaPaths
from vidground_core.exports.prompting import AnswerForm, Asking, OfLast, Task
from vidground_core.records import Question

RECORD = "vidground"


class RowConfig(ExportConfig):
    """Options of exporters that write a row a question."""

    media_root: str = Field("", description="Folder that written media paths start from; absolute paths by default.")
    missing: Literal["set-aside", "keep"] = Field(
        "set-aside", description="A question whose video or image is not here: set-aside, or keep where the trainer's machine has it."
    )
    spans: Literal["set-aside", "whole"] = Field(
        "set-aside",
        description="A question on a part of a video, where the format cannot say which: set-aside, or whole to show all of it.",
    )


class PromptConfig(RowConfig):
    """Options of exporters whose rows hold a rendered prompt."""

    prompt: PromptChoice = Field(
        "",
        description="Prompt of the rows; by default video-r1 for rl and for rows with a written reasoning, else letter (an open-ended"
        " question is put as it is).",
    )
    answer: AnswerForm = Field("letter", description="What stands for an option in answers: its letter or its text.")
    seed: int = Field(0, ge=0, description="Seed of the wrong option that a dpo row rejects.")


RowConfigT = TypeVar("RowConfigT", bound=RowConfig)


class RowExporter(Exporter[RowConfigT]):
    """Base of exporters with one row a question; a subclass gives `row`, and overrides other methods where their defaults do not do."""

    Config: ClassVar[type[Any]] = RowConfig
    record: ClassVar[str] = RECORD
    file: ClassVar[str] = "train.jsonl"

    @functools.cached_property
    def media(self) -> MediaPaths:
        """How media paths are written."""
        return MediaPaths(self.config.media_root, missing=self.config.missing, spans=self.config.spans)

    @abstractmethod
    def row(self, question: Question) -> dict[str, Any]:
        """The target's row. Raises CannotExport where it cannot hold the question; its media exist and its spans are sayable."""
        raise NotImplementedError

    def says_spans(self) -> bool:
        """Whether rows say which part of a video a question is on."""
        return False

    def opens_urls(self) -> Collection[str]:
        """The types of media that the target opens where the path is a URL; questions on others are set aside."""
        return MEDIA_TYPES

    def file_of(self, question: Question) -> str:
        """The name of the file that a question's row goes to."""
        return self.file

    def open(self, path: Path, name: str) -> RowFile:
        """The file called `name`, to be written at `path`."""
        return JsonLinesFile(path)

    def prepare(self, job: ExportJob) -> None:
        """Called before the first row."""

    def complete(self, job: ExportJob, rows: Mapping[str, int]) -> None:
        """Called after the last row, with the number of rows of each file; for files besides the rows."""

    def export(self, questions: Iterator[Question], job: ExportJob) -> None:
        """Writes the rows."""
        sink = RowSink(self, job)
        for question in questions:
            sink.add(question)
        sink.close()


class RowSink:
    """Takes questions one by one, so that several exporters can be fed from one reading."""

    def __init__(self, exporter: RowExporter[Any], job: ExportJob) -> None:
        self.exporter, self.job = exporter, job
        self._files: dict[str, RowFile] = {}
        self._spans, self._urls = exporter.says_spans(), exporter.opens_urls()
        exporter.prepare(job)

    def add(self, question: Question) -> None:
        """Writes the question's row, or sets it aside."""
        exporter = self.exporter
        try:
            exporter.media.check(question, holds_spans=self._spans, urls=self._urls)
            row = exporter.row(question)
        except CannotExport as reason:
            self.job.set_aside(question, str(reason))
            return
        name = exporter.file_of(question)
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = exporter.open(self.job.file(name), name)
            self.job.rows[name] = 0
        file.add(row)
        self.job.rows[name] += 1

    def close(self) -> None:
        """Ends the files."""
        for file in self._files.values():
            file.close()
        self.exporter.complete(self.job, self.job.rows)


def _record(question: Question) -> str:
    from vidground_core.tables import question_row  # imports pyarrow, which `vg --help` does without

    return orjson.dumps(question_row(question)).decode()


_last_record = OfLast(_record)


def record_of(question: Question) -> str:
    """The whole question as JSON text: a canonical row, in the order of its keys."""
    return _last_record(question)


def asking(config: PromptConfig, task: Task) -> Asking:
    """How an exporter asks, by its options."""
    return Asking(config.prompt, task, config.answer, seed=config.seed)


def tags_of(question: Question) -> str:
    """<video> or <image> for each of the question's media, in order."""
    return "".join(f"<{medium.type}>" for medium in question.media)


def written_paths(question: Question, media: MediaPaths, kind: Literal["video", "image"]) -> list[str]:
    """The paths of the question's videos or images. Raises CannotExport where one is not below media_root."""
    return [media.written(medium.path) for medium in question.media if medium.type == kind]


def wrong_answer(question: Question, ask: Asking) -> str:
    """The answer that a dpo row rejects. Raises CannotExport where there is none."""
    rejected = ask.rejected(question)
    if rejected is None:
        raise CannotExport("dpo needs a wrong answer, and the question has no other option")
    return rejected
