"""Rows from the raw pages of a reply store, whatever else of the file is damaged.

Reads SQLite's file format itself (https://www.sqlite.org/fileformat2.html): every table leaf page of the file and of its write-ahead log,
also where the header, the pages that lead to them or the indexes are gone. The checksum in each row decides whether it is taken.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidground_core.runs.store_file import APPLICATION, PAGE_BYTES, beside

MAGIC = b"SQLite format 3\x00"
WAL_MAGIC = (0x377F0682, 0x377F0683)
WAL_HEADER, FRAME_HEADER = 32, 24
_TABLE_LEAF = 0x0D
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_LARGEST_PAYLOAD = 2**30


class StorePages:
    """The pages of a store and of its write-ahead log. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._files = contextlib.ExitStack()
        self._main = self._mapped(path)
        self._log = self._mapped(beside(path, "-wal"))
        self.page_bytes = _page_bytes(self._main, self._log)
        frame = FRAME_HEADER + self.page_bytes
        self._frames = range(WAL_HEADER, len(self._log) - frame + 1, frame)
        self._newer: dict[int, list[int]] = {}
        for offset in self._frames:
            number = int.from_bytes(self._log[offset : offset + 4], "big")
            self._newer.setdefault(number, []).append(offset + FRAME_HEADER)

    def __enter__(self) -> StorePages:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    @property
    def ours(self) -> bool:
        """Whether a header, in the file or in its log, says that this is a reply store."""
        headers = [self._main[:100], *(self._log[offset : offset + 100] for offset in self._newer.get(1, ()))]
        return any(header[:16] == MAGIC and header[68:72] == APPLICATION.to_bytes(4, "big") for header in headers)

    def records(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """(row number, columns) of every cell that can be parsed, texts as bytes; of several states of a page the newest first."""
        size = self.page_bytes
        for offset in reversed(self._frames):
            page = self._log[offset + FRAME_HEADER : offset + FRAME_HEADER + size]
            yield from self._cells(page, 100 if self._log[offset : offset + 4] == b"\0\0\0\1" else 0)
        for offset in range(0, len(self._main) - size + 1, size):
            yield from self._cells(self._main[offset : offset + size], 0 if offset else 100)

    def _mapped(self, path: Path) -> mmap.mmap | bytes:
        try:
            with path.open("rb") as file:
                return self._files.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (FileNotFoundError, ValueError):  # ValueError: an empty file
            return b""

    def _cells(self, page: bytes, start: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        if page[start] != _TABLE_LEAF:
            return
        (count,) = struct.unpack_from(">H", page, start + 3)
        for index in range(min(count, self.page_bytes // 4)):
            with contextlib.suppress(ValueError, IndexError, struct.error):
                (offset,) = struct.unpack_from(">H", page, start + 8 + 2 * index)
                yield from self._cell(page, offset)

    def _cell(self, page: bytes, offset: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        length, offset = _varint(page, offset)
        row, offset = _varint(page, offset)
        held = self._held(length)
        local = page[offset : offset + held]
        if held == length:
            yield row, _columns(local)
            return
        (following,) = struct.unpack_from(">I", page, offset + held)
        for rest in self._overflow(following, length - held):
            with contextlib.suppress(ValueError, IndexError, struct.error):
                yield row, _columns(local + rest)

    def _held(self, length: int) -> int:
        """How many bytes of a payload stand in the leaf page itself."""
        if not 0 < length < _LARGEST_PAYLOAD:
            raise ValueError(f"a payload of {length} bytes")
        if length <= self.page_bytes - 35:
            return length
        least = (self.page_bytes - 12) * 32 // 255 - 23
        held = least + (length - least) % (self.page_bytes - 4)
        return held if held <= self.page_bytes - 35 else least

    def _overflow(self, number: int, length: int) -> Iterator[bytes]:
        """The rest of a long payload: as the newest states of its pages have it, then as the main file has it."""
        for newest in (True, False):
            parts, page, left = [], number, length
            while left > 0 and page:
                content = self._page(page, newest=newest)
                parts.append(content[4 : 4 + left])
                left -= len(content) - 4
                page = int.from_bytes(content[:4], "big")
            if left <= 0:
                yield b"".join(parts)

    def _page(self, number: int, *, newest: bool) -> bytes:
        if newest and number in self._newer:
            offset = self._newer[number][-1]
            return self._log[offset : offset + self.page_bytes]
        content = self._main[(number - 1) * self.page_bytes : number * self.page_bytes]
        return content if len(content) == self.page_bytes else bytes(self.page_bytes)


def _page_bytes(main: mmap.mmap | bytes, log: mmap.mmap | bytes) -> int:
    """By the header of the file, else of the log, else what every reply store has."""
    stated = []
    if main[:16] == MAGIC:
        size = int.from_bytes(main[16:18], "big")
        stated.append(65_536 if size == 1 else size)
    if int.from_bytes(log[:4], "big") in WAL_MAGIC:
        stated.append(int.from_bytes(log[8:12], "big"))
    return next((size for size in stated if 512 <= size <= 65_536 and size & (size - 1) == 0), PAGE_BYTES)


def _varint(page: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = page[offset + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset + index + 1
    return value << 8 | page[offset + 8], offset + 9


def _columns(payload: bytes) -> tuple[Any, ...]:
    end, offset = _varint(payload, 0)
    position, values = end, list[Any]()
    while offset < end:
        kind, offset = _varint(payload, offset)
        if kind >= 12:
            length = (kind - 12) // 2
            values.append(payload[position : position + length])
        elif kind in _INTEGER_BYTES:
            length = _INTEGER_BYTES[kind]
            values.append(int.from_bytes(payload[position : position + length], "big", signed=True))
        elif kind in (0, 8, 9):
            length = 0
            values.append({0: None, 8: 0, 9: 1}[kind])
        else:
            raise ValueError(f"a column of kind {kind}")
        position += length
    if position != len(payload):
        raise ValueError("a record that does not fill its cell")
    return tuple(values)


def log_damage(path: Path, *, most_frames: int = 16_384) -> str:
    """What is wrong with the write-ahead log of a store, empty where nothing is: a damaged log is silently cut short by SQLite.

    A group that was being written when the machine stopped is no damage. Logs of more frames than `most_frames` are not looked at.
    """
    log = beside(path, "-wal")
    try:
        content = log.read_bytes() if log.stat().st_size <= most_frames * (PAGE_BYTES + FRAME_HEADER) else b""
    except FileNotFoundError:
        content = b""
    if len(content) < WAL_HEADER:
        return ""
    magic, _, size = struct.unpack_from(">III", content)
    order = ">" if magic == WAL_MAGIC[1] else "<"
    sums = _wal_sums(content[:24], (0, 0), order)
    if magic not in WAL_MAGIC or sums != struct.unpack_from(">II", content, 24):
        return "the header of its write-ahead log is damaged"
    salts, step = content[16:24], FRAME_HEADER + size
    intact = True
    for number, offset in enumerate(range(WAL_HEADER, len(content) - step + 1, step)):
        same = content[offset + 8 : offset + 16] == salts
        if intact and same:
            sums = _wal_sums(content[offset : offset + 8], sums, order)
            sums = _wal_sums(content[offset + FRAME_HEADER : offset + step], sums, order)
        intact = intact and same and sums == struct.unpack_from(">II", content, offset + 16)
        if not intact and same and content[offset + 4 : offset + 8] != b"\0\0\0\0":
            return f"its write-ahead log is damaged before frame {number + 1}"
    return ""


def _wal_sums(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
