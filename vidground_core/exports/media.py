"""Media in an export: which path is written, what is missing, and frames on disk for targets that take images only."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidground_core.errors import MediaError
from vidground_core.records import Clip, Media, Question

_QUALITY = 95
MEDIA_TYPES = ("video", "image")


class CannotExport(ValueError):
    """Why the target cannot hold a question; its text becomes the reason in not_exported.jsonl."""


class MediaPaths:
    """Paths as they are written: absolute, or from `root` on. Whether a file is there is looked up once a path."""

    def __init__(
        self, root: str = "", *, missing: Literal["set-aside", "keep"] = "set-aside", spans: Literal["set-aside", "whole"]
    ) -> None:
        self.root = os.path.normpath(Path(root).expanduser().absolute()) if root else ""
        self._below = self.root.rstrip("/") + "/"
        self._missing, self._spans = missing, spans
        self._there: dict[str, bool] = {}

    def check(self, question: Question, *, holds_spans: bool = False, urls: Collection[str] = MEDIA_TYPES) -> None:
        """Raises CannotExport for a medium that is not there, a span that the target cannot say, and a URL that it does not open.

        `urls` are the types of media that it opens by URL.
        """
        for medium in question.media:
            if "://" in medium.path and medium.type not in urls:
                raise CannotExport(f"{medium.path!r} is a URL, and the format takes {medium.type}s from files only")
            if not holds_spans and self._spans == "set-aside" and (medium.start is not None or medium.end is not None):
                raise CannotExport(
                    f"the question is on {_span(medium)} of {medium.path!r}, which the format cannot say; spans=whole shows all"
                )
            if self._missing == "set-aside" and "://" not in medium.path and not self._exists(medium.path):
                raise CannotExport(f"there is no file {medium.path!r}")

    def written(self, path: str) -> str:
        """The path as it stands in a row. Raises CannotExport where it is not below the root."""
        if path.startswith("/") and "/." not in path:
            if not self.root:
                return path
            absolute = path
        elif "://" in path:
            return path
        else:
            absolute = os.path.normpath(Path(path).absolute())
        if not self.root:
            return absolute
        if not absolute.startswith(self._below):
            raise CannotExport(f"{path!r} does not lie below media_root {self.root!r}")
        return absolute[len(self._below) :]

    def _exists(self, path: str) -> bool:
        there = self._there.get(path)
        if there is None:
            there = self._there[path] = Path(path).exists()
        return there


def _span_name(medium: Media) -> str:
    if medium.start is None and medium.end is None:
        return ""
    return f"-{medium.start or 0:g}-{'end' if medium.end is None else format(medium.end, 'g')}"


def _span(medium: Media) -> str:
    return f"seconds {medium.start or 0:g} to {'the end' if medium.end is None else format(medium.end, 'g')}"


@dataclass(frozen=True, slots=True)
class Shown:
    """Pictures of a question in order: paths, and for those of videos the second each is from (None: an image)."""

    paths: tuple[str, ...]
    seconds: tuple[float | None, ...]

    def told(self) -> str:
        """One sentence on which pictures are frames of a video and of when; empty where none is."""
        times = [f"{second:.1f}" for second in self.seconds if second is not None]
        if not times:
            return ""
        return f"The {len(times)} pictures are frames of the video, in order, at {', '.join(times)} seconds.\n"


class FrameFiles:
    """Frames of videos as JPEG files below a folder, each video's once; a file appears at once. `written` makes paths what a row says."""

    def __init__(self, folder: Path, written: Callable[[str], str], *, frames: int, pixels: int) -> None:
        self.folder, self.frames, self.pixels = folder, frames, pixels
        self._written = written
        self._made: dict[Media, Shown] = {}

    def shown(self, media: Sequence[Media]) -> Shown:
        """The pictures of a question: images as they are, videos as frames. Raises CannotExport where one cannot be decoded."""
        found = [self._shown(medium) for medium in media]
        return Shown(tuple(path for one in found for path in one.paths), tuple(second for one in found for second in one.seconds))

    def _shown(self, medium: Media) -> Shown:
        if medium.type == "image":
            return Shown((self._written(medium.path),), (None,))
        if medium not in self._made:
            self._made[medium] = self._make(medium)
        return self._made[medium]

    def _make(self, medium: Media) -> Shown:
        from PIL import Image

        from vidground_core.media import FrameCache, digest_file, load_clip

        clip = Clip(medium.path, start=medium.start, end=medium.end, frames=self.frames, pixels=self.pixels)
        try:
            digest = digest_file(medium.path)
            loaded = load_clip(clip, cache=FrameCache(0))
        except MediaError as error:
            raise CannotExport(str(error)) from error
        folder = self.folder / digest[:2] / f"{digest[2:18]}{_span_name(medium)}"
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, pixels in enumerate(loaded.array):
            path, beside = folder / f"{number:03d}.jpg", folder / f".{number:03d}.part"
            Image.fromarray(pixels).save(beside, "jpeg", quality=_QUALITY)
            beside.replace(path)
            paths.append(self._written(str(path.absolute())))
        return Shown(tuple(paths), tuple(float(second) for second in loaded.seconds))
