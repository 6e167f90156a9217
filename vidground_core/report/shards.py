"""The questions' data in parts: inside the page while they are small, beside it as scripts once they are not.

A page opened from a disk may not fetch; a script tag is the one way to load more. So a part beside the page is a script that hands
`JSON.parse("…")` to the page's loader, which is many times faster to read than the same data as a program. Names carry a digest of
the content: an older page keeps its parts until the new one stands.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

SHARD_BYTES = 2 * 2**20
INLINE_BYTES = 20 * 10**6
LOADER = "vidgroundPart"
_NAME = re.compile(r"[a-z]+-\d{4,}-[0-9a-f]{10}\.js(?:\.tmp)?")
_ESCAPES = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}

# Made once: `json.dumps` with these settings would make an encoder a call.
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the data: `first` is the number of its first row, `name` its file ("" inside the page), `text` its JSON (only there)."""

    kind: str
    first: int
    name: str = ""
    text: str = ""


def encode(value: object) -> str:
    """`value` as JSON that may stand in a script element and in a UTF-8 file: no `<`, no line separators, no lone surrogates."""
    text = _as_json(value)
    for character, escaped in _ESCAPES.items():
        text = text.replace(character, escaped)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


class ShardFolder:
    """Takes parts in any order of kinds; past `inline_bytes` in all they lie in `folder`, of which nothing is made before."""

    def __init__(self, folder: Path, *, inline_bytes: int = INLINE_BYTES) -> None:
        self.folder, self.inline_bytes = folder, inline_bytes
        self.bytes = 0
        self._shards: list[Shard] = []
        self._beside = False
        self._digest = hashlib.sha256()

    def put(self, kind: str, first: int, text: str) -> None:
        """Adds a part: `text` is JSON as `encode` makes it, `kind` a lower-case letter or word."""
        raw = text.encode()
        self.bytes += len(raw)
        self._digest.update(raw)
        self._shards.append(Shard(kind, first, text=text))
        if self._beside or self.bytes > self.inline_bytes:
            self._spill()

    @property
    def nonce(self) -> str:
        """What names the parts in the page's policy: made of all their content, so no text in the data can contain it."""
        return self._digest.hexdigest()[:32]

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The parts in the order in which they came."""
        return tuple(self._shards)

    def tidy(self) -> None:
        """Removes parts of an earlier page; to be called when the page stands."""
        names = {shard.name for shard in self._shards}
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name not in names and _NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _spill(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._beside = True
        self._shards = [shard if shard.name else self._write(number, shard) for number, shard in enumerate(self._shards)]

    def _write(self, number: int, shard: Shard) -> Shard:
        digest = hashlib.sha256(shard.text.encode()).hexdigest()[:10]
        name = f"{shard.kind}-{number:04d}-{digest}.js"
        literal = json.dumps(shard.text, ensure_ascii=False)
        script = f"{LOADER}({json.dumps(shard.kind)},{shard.first},JSON.parse({literal}));\n"
        beside = self.folder / f"{name}.tmp"  # an older page may be reading a part of the same content
        beside.write_text(script, encoding="utf-8")
        beside.replace(self.folder / name)
        return Shard(shard.kind, shard.first, name)
