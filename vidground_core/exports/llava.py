"""LLaVA's ShareGPT rows, as LLaVA-Video-178K is published."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from vidground_core.exports.files import JsonArrayFile, RowFile
from vidground_core.exports.media import CannotExport
from vidground_core.exports.rows import RECORD, PromptConfig, RowExporter, asking, record_of, written_paths
from vidground_core.records import Question


class LLaVAConfig(PromptConfig):
    """Options of the exporter."""


class LLaVAExporter(RowExporter[LLaVAConfig]):
    """LLaVA, ShareGPT: a JSON array of id, video or image, and conversations, for SFT; read by canonical and by llava-video.

    Each row is one pair of turns; several questions of a source's conversation stay rows of their own. The tag is <image> for videos
    too, as published. Source: LLaVA-NeXT, llava/train/train.py.
    """

    name = "llava"
    version = "1"
    Config: ClassVar[type[Any]] = LLaVAConfig
    file = "train.json"

    def __init__(self, config: LLaVAConfig) -> None:
        super().__init__(config)
        self._ask = asking(config, "sft")

    def opens_urls(self) -> Collection[str]:
        """None: its code looks for files."""
        return ()

    def open(self, path: Path, name: str) -> RowFile:
        """One JSON array, as published."""
        return JsonArrayFile(path)

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport where there is more than one video, or videos beside images."""
        videos = written_paths(question, self.media, "video")
        images = written_paths(question, self.media, "image")
        if len(videos) > 1 or (videos and images):
            raise CannotExport(
                f"LLaVA has one video or some images a row, and this question has {len(videos)} videos and {len(images)} images"
            )
        tags = "<image>\n" * len(question.media)
        turns = [{"from": "human", "value": tags + self._ask.text(question)}, {"from": "gpt", "value": self._ask.response(question)}]
        row: dict[str, Any] = {"id": question.id, "data_source": question.source, "conversations": turns}
        if videos:
            row["video"] = videos[0]
        elif images:
            row["image"] = images[0] if len(images) == 1 else images
        return row | {RECORD: record_of(question)}
