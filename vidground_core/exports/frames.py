"""What exporters share whose target takes images only: videos become frames on disk."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vidground_core.errors import ConfigError
from vidground_core.exports.base import ExportJob
from vidground_core.exports.media import MEDIA_TYPES, CannotExport, FrameFiles, Shown
from vidground_core.exports.rows import PromptConfig, RowExporter, written_paths
from vidground_core.records import Question

_FOLDER = "frames"


class FramesConfig(PromptConfig):
    """Options of exporters that can write frames in place of videos."""

    frames: int = Field(
        8, ge=0, description="Frames of a video, written as JPEG files and shown as images; 0 writes the video's path only."
    )
    pixels: int = Field(0, ge=0, description="Most pixels of a frame; 0 as decoded.")


FramesConfigT = TypeVar("FramesConfigT", bound=FramesConfig)


class FramesExporter(RowExporter[FramesConfigT]):
    """Base of these exporters. `holds_videos` says whether a row may name a video where no frames are wanted."""

    Config: ClassVar[type[Any]] = FramesConfig
    holds_videos: ClassVar[bool] = True

    def __init__(self, config: FramesConfigT) -> None:
        super().__init__(config)
        self._frames: FrameFiles | None = None

    def says_spans(self) -> bool:
        """Frames are taken from the span; a video's path has none."""
        return self.config.frames > 0

    def opens_urls(self) -> Collection[str]:
        """Images, which the target opens itself; frames are taken from files."""
        return ("image",) if self.config.frames else MEDIA_TYPES

    def check(self, out: Path) -> None:
        """Raises ConfigError where the frames would lie outside the folder that paths start from."""
        if not self.config.frames:
            return
        try:
            self.media.written(str(out / _FOLDER))
        except CannotExport as error:
            raise ConfigError(
                f"exporter {self.name!r}: media_root = {self.config.media_root!r}: frames are written below --out {str(out)!r}, which does"
                " not lie below it; name an --out below media_root, or write videos with frames=0"
            ) from error

    def prepare(self, job: ExportJob) -> None:
        """Frames lie below the export."""
        if self.config.frames:
            self._frames = FrameFiles(job.out / _FOLDER, self.media.written, frames=self.config.frames, pixels=self.config.pixels)

    def pictures(self, question: Question) -> Shown:
        """What is shown as images. Raises CannotExport for media that do not decode, and where a video cannot be shown."""
        if self._frames is not None:
            return self._frames.shown(question.media)
        images = written_paths(question, self.media, "image")
        if len(images) < len(question.media) and (images or not self.holds_videos):
            raise CannotExport(f"{self.name} takes images, and the question has a video; with frames above 0 it is shown as frames")
        return Shown(tuple(images), (None,) * len(images))
