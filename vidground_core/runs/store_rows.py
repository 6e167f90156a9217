"""One row of a reply store: an answered reply as JSON, with a checksum over all that an answer is made of."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any, TypeAlias

from vidground_core.records import Reply

COLUMNS = ("key", "reply", "engine", "stored", "prompt", "generated", "checksum")
Row: TypeAlias = tuple[bytes, str, int, int, int, int, int | None]
"""The columns in their order. `stored`: seconds since 1970; `prompt`, `generated`: tokens; rows of version 1 have no checksum."""

KEY_BYTES = 32


def engine_number(identity: str) -> int:
    """48 bits of a hash of the engine's identity: the same in every store, so that rows are merged as they are; 0 for no identity."""
    return int.from_bytes(hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()[:6], "big") if identity else 0


def pack(key: bytes, reply: Reply, *, engine: int, stored: int) -> Row:
    """The row of an answered reply."""
    fields = {"text": reply.text, "logprobs": reply.logprobs, "tokens": reply.tokens}
    text = json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":"))
    prompt, generated = reply.usage
    return key, text, engine, stored, prompt, generated, _checksum(key, text.encode(), prompt, generated)


def unpack(key: Any, text: Any, prompt: Any, generated: Any, checksum: Any) -> Reply:
    """The reply of a row as SQLite gives it (texts as bytes). Raises ValueError where the row is damaged."""
    try:
        if checksum is None:
            return _unchecked(key, text)
        if checksum != _checksum(key, text, prompt, generated):
            raise ValueError("the checksum of a row is wrong")
        fields = json.loads(text)
        logprobs, tokens = tuple(fields.get("logprobs", ())), tuple(fields.get("tokens", ()))
        return Reply("answered", text=fields.get("text", ""), logprobs=logprobs, tokens=tokens, usage=(prompt, generated))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a row has another shape: {error}") from error


def upgraded(columns: tuple[Any, ...]) -> Row:
    """A row with its checksum, of one as SQLite gives it. Raises ValueError where the row is damaged."""
    key, text, engine, stored, prompt, generated, checksum = columns
    reply = unpack(key, text, prompt, generated, checksum)
    if checksum is None:
        return pack(key, reply, engine=engine, stored=stored)
    return key, text.decode("ascii"), engine, stored, prompt, generated, checksum


def _checksum(key: bytes, text: bytes, prompt: int, generated: int) -> int:
    # Signed, so that SQLite needs four bytes for it and not six.
    return zlib.crc32(b"%d %d " % (prompt, generated) + text, zlib.crc32(key)) - 2**31


def _unchecked(key: bytes, text: bytes) -> Reply:
    """A row of version 1, which has only its shape to be checked by."""
    fields = json.loads(text)
    answer, logprobs, tokens = fields.get("text", ""), tuple(fields.get("logprobs", ())), tuple(fields.get("tokens", ()))
    prompt, generated = fields.get("usage", (0, 0))
    shaped = (
        len(key) == KEY_BYTES
        and isinstance(answer, str)
        and all(isinstance(value, float | int) for value in logprobs)
        and all(isinstance(value, int) for value in (*tokens, prompt, generated))
        and fields.keys() <= {"text", "logprobs", "tokens", "usage"}
    )
    if not shaped:
        raise ValueError("a row has another shape")
    return Reply("answered", text=answer, logprobs=logprobs, tokens=tokens, usage=(prompt, generated))
