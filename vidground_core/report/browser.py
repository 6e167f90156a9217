"""The browser of all questions on the page: its data, written as a stream, and what the page needs to load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .browser_columns import Columns
from .browser_details import details, media_key
from .data import Browser
from .places import Places, locate
from .rows import Row, read_rows
from .shards import INLINE_BYTES, SHARD_BYTES, Shard, ShardFolder, encode
from .thumbnails import BUDGET_BYTES, MediaSample, thumbnails

LIST, DETAILS, FRAMES = "list", "details", "frames"


class BrowserWriter:
    """Takes all questions in order, a row at a time, and writes their data beside `page` where they are too many to lie inside."""

    def __init__(self, page: Path, *, inline_bytes: int = INLINE_BYTES, frames_bytes: int = BUDGET_BYTES) -> None:
        self._folder = ShardFolder(page.with_name(f"{page.stem}.data"), inline_bytes=inline_bytes)
        self._frames_bytes = frames_bytes
        self._columns = Columns()
        self._media = MediaSample()
        self._details: list[str] = []
        self._bytes = 0
        self._first = 0

    def add(self, row: Row, where: str = "") -> None:
        """Adds a question; `where` names its data set where the page has several."""
        self._columns.add(row, where)
        self._media.add(row.question)
        text = encode(details(row))
        self._details.append(text)
        self._bytes += len(text.encode())
        if self._columns.bytes > SHARD_BYTES:
            self._end_columns()
        if self._bytes > SHARD_BYTES:
            self._end_details()

    def add_audits(self, places: Places) -> None:
        """Adds the questions of several audits, one after the other, each under the name of its data set."""
        for name, folder in places.audits.items():
            if (folder / "questions").is_dir():
                for row in read_rows(locate(folder)):
                    self.add(row, name)

    def finish(self) -> Browser | None:
        """Writes what is left; None where there was no question."""
        if not self._columns.rows:
            return None
        self._end_columns()
        self._end_details()
        found = self._write_frames()
        shards = self._folder.shards
        beside = any(shard.name for shard in shards)
        nonce = self._folder.nonce if beside else ""
        manifest = self._manifest(shards, found, nonce)
        inside = () if beside else tuple(shard.text for shard in shards)
        return Browser(self._columns.rows, manifest, inside, nonce, self._columns.decided, len(found), self._media.met)

    def tidy(self) -> None:
        """Removes what an earlier page had beside it; to be called when the page stands."""
        self._folder.tidy()

    def _end_columns(self) -> None:
        if self._columns.rows > self._columns.first:
            first = self._columns.first
            self._folder.put(LIST, first, encode(self._columns.take()))

    def _end_details(self) -> None:
        if self._details:
            self._folder.put(DETAILS, self._first, f"[{','.join(self._details)}]")
        self._first += len(self._details)
        self._details, self._bytes = [], 0

    def _write_frames(self) -> list[list[Any]]:
        """Writes the frames, and gives the key of the media of each place in that part."""
        found = list(thumbnails(self._media.media(), budget=self._frames_bytes))
        if found:
            self._folder.put(FRAMES, 0, encode([one.frames for one in found]))
        return [media_key(one.media) for one in found]

    def _manifest(self, shards: tuple[Shard, ...], framed: list[list[Any]], nonce: str) -> str:
        columns = self._columns
        return encode(
            {
                "rows": columns.rows,
                "parts": [[shard.kind, shard.first, shard.name] for shard in shards],
                "folder": self._folder.folder.name,
                "nonce": nonce,
                "detectors": columns.detectors,
                "decided": columns.decided,
                "facets": [[facet.key, facet.title, facet.values, facet.counts] for facet in columns.facets()],
                "framed": framed,
                "media": self._media.met,
            }
        )
