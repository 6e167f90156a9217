"""JSON texts of any length, value by value: what `json` cannot do is to start before it has read the end."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, BinaryIO

WINDOW_BYTES = 1 << 20
BLANKS = re.compile(r"[ \t\r\n]*")
BETWEEN = re.compile(r"[ \t\r\n,]*")
_LONGEST_LITERAL = 16


class JsonText:
    """The part of a JSON text that is in memory, about a megabyte; `place` is where reading stands in it, `line` the line of that place."""

    def __init__(self, file: BinaryIO) -> None:
        self.place, self.line = 0, 1
        self._file, self._text, self._bytes = file, "", WINDOW_BYTES
        self._characters = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape")
        self._json = json.JSONDecoder()

    def skip(self, passed: re.Pattern[str]) -> str:
        """Goes over what `passed` matches; the character ahead, empty at the end of the file."""
        while True:
            match = passed.match(self._text, self.place)
            self._go(match.end() if match else self.place)
            if self.place < len(self._text):
                return self._text[self.place]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The JSON value that starts here. Raises ValueError or RecursionError where there is none."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self.place)
            except json.JSONDecodeError as error:
                if not self._may_be_cut(error) or not self._more():
                    raise
                continue
            if end < len(self._text) or not self._more():
                self._go(end)
                self._bytes = WINDOW_BYTES
                return value

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        return error.pos + _LONGEST_LITERAL > len(self._text) or error.msg.startswith("Unterminated")

    def _go(self, place: int) -> None:
        self.line += self._text.count("\n", self.place, place)
        self.place = place

    def _more(self) -> bool:
        """Reads on, each time twice as much while one value does not end, so that long values cost no more than their length."""
        read = self._file.read(self._bytes)
        added = self._characters.decode(read, final=not read)
        self._text, self.place = self._text[self.place :] + added, 0
        self._bytes *= 2
        return bool(read or added)
