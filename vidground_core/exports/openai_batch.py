"""Batch files in OpenAI's form: one request a question, for reasoning or answers of an API model on the curated set."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import orjson
from pydantic import Field

from vidground_core.errors import MediaError
from vidground_core.exports.base import ExportJob
from vidground_core.exports.files import JsonLinesFile
from vidground_core.exports.media import MEDIA_TYPES, CannotExport
from vidground_core.exports.rows import PromptConfig, RowExporter, asking
from vidground_core.records import Clip, Media, Question

_MOST_LINES, _MOST_BYTES = 50_000, 200_000_000
_QUALITY = 90


class OpenAIBatchConfig(PromptConfig):
    """Options of the exporter."""

    model: str = Field(description="Model that is asked.")
    frames: int = Field(
        8, ge=0, description="Frames of a video in a request, as JPEG data URLs; 0 asks by text alone and sends no picture."
    )
    pixels: int = Field(262_144, ge=0, description="Most pixels of a frame; 0 as decoded.")
    max_tokens: int = Field(1024, ge=1, description="Most tokens of a reply (max_completion_tokens).")


class OpenAIBatchExporter(RowExporter[OpenAIBatchConfig]):
    """OpenAI batch: requests with prompt and frames, `custom_id` the question's id, in files of 50,000 lines or 200 MB at most.

    The gold stays here: questions.jsonl beside the requests is read by canonical, and joined to the replies by id. For probes of a
    detector use `vg detect --batch-out`. Source: OpenAI's Batch API reference.
    """

    name = "openai-batch"
    version = "1"
    Config: ClassVar[type[Any]] = OpenAIBatchConfig
    record = ""
    loads = ("questions.jsonl",)

    def __init__(self, config: OpenAIBatchConfig) -> None:
        super().__init__(config)
        self._ask = asking(config, "rl")
        self._part, self._lines, self._bytes = 0, 0, 0
        self._questions: JsonLinesFile | None = None
        self._last: tuple[Media, list[dict[str, Any]]] | None = None

    def says_spans(self) -> bool:
        """Frames are taken from the span."""
        return True

    def opens_urls(self) -> Collection[str]:
        """Images, which the server fetches; frames of videos are taken from files. Everything where nothing is shown."""
        return ("image",) if self.config.frames else MEDIA_TYPES

    def prepare(self, job: ExportJob) -> None:
        """The questions with their gold go beside the requests."""
        self._questions = JsonLinesFile(job.file(self.loads[0]))

    def file_of(self, question: Question) -> str:
        """requests-000.jsonl, requests-001.jsonl, …"""
        return f"requests-{self._part:03d}.jsonl"

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport for media that do not decode, and for a request that no file may hold."""
        pictures = [part for medium in question.media for part in self._pictures(medium)] if self.config.frames else []
        content: Any = [*pictures, {"type": "text", "text": self._ask.text(question)}] if pictures else self._ask.text(question)
        body: dict[str, Any] = {"model": self.config.model, "messages": [{"role": "user", "content": content}]}
        body["max_completion_tokens"] = self.config.max_tokens
        row = {"custom_id": question.id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        self._count(len(orjson.dumps(row)) + 1)
        if self._questions is not None:
            from vidground_core.tables import question_row  # imports pyarrow, which `vg --help` does without

            self._questions.add(question_row(question))
        return row

    def complete(self, job: ExportJob, rows: Mapping[str, int]) -> None:
        """Ends questions.jsonl."""
        if self._questions is not None:
            self._questions.close()

    def _count(self, size: int) -> None:
        if size > _MOST_BYTES:
            raise CannotExport(f"the request has {size:,} bytes, and a batch file takes {_MOST_BYTES:,}; lower frames or pixels")
        if self._lines and (self._lines >= _MOST_LINES or self._bytes + size > _MOST_BYTES):
            self._part, self._lines, self._bytes = self._part + 1, 0, 0
        self._lines, self._bytes = self._lines + 1, self._bytes + size

    def _pictures(self, medium: Media) -> list[dict[str, Any]]:
        """The medium's frames as parts of a message; those of the last one are kept, as questions on a video often follow each other."""
        if self._last is None or self._last[0] != medium:
            self._last = (medium, _encoded(medium, self.config.frames, self.config.pixels))
        return self._last[1]


def _encoded(medium: Media, frames: int, pixels: int) -> list[dict[str, Any]]:
    if "://" in medium.path:
        return [{"type": "image_url", "image_url": {"url": medium.path}}]
    from PIL import Image

    from vidground_core.media import FrameCache, load_clip

    clip = Clip(medium.path, type=medium.type, start=medium.start, end=medium.end, frames=frames, pixels=pixels)
    try:
        loaded = load_clip(clip, cache=FrameCache(0))
    except MediaError as error:
        raise CannotExport(str(error)) from error
    parts = []
    for frame in loaded.array:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "jpeg", quality=_QUALITY)
        address = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": address}})
    return parts
