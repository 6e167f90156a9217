"""Batch files of OpenAI's form: asks written out instead of sent, and what came back read in as replies.

A request is `{"custom_id", "method", "url", "body"}`, a result `{"custom_id", "response": {"status_code", "body"}, "error"}`, one a line;
`custom_id` is the reply's key in hexadecimal. Source: OpenAI's Batch API reference, "The request input object" and "output object".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

from vidground_core.engines.base import Engine
from vidground_core.errors import EngineError, InputError, MediaError
from vidground_core.records import Ask, Reply
from vidground_core.runs.store import ReplyStore

MAX_LINES, MAX_BYTES = 50_000, 200_000_000
"""What OpenAI takes in one file."""

_KEY_DIGITS = 64
_KEYS_TOGETHER = 10_000


@runtime_checkable
class RequestEngine(Protocol):
    """What an engine has whose asks are requests, as `openai` does. A plugin's engine with these three has batch files too."""

    def request_body(self, ask: Ask) -> dict[str, Any]:
        """The JSON body that asks this. Raises ValueError or MediaError where it cannot be asked."""
        ...

    def reply_of(self, body: Any, ask: Ask) -> Reply:
        """The reply in a response's decoded JSON body; failed where it holds none."""
        ...

    @property
    def endpoint(self) -> str:
        """The path of the requests, such as "/v1/chat/completions"."""
        ...


def request_engine(engine: Engine[Any]) -> RequestEngine:
    """The engine itself. Raises EngineError where its asks have no form in a batch file."""
    if not isinstance(engine, RequestEngine):
        raise EngineError(f"--batch-out and --batch-in need an engine whose asks are requests: openai; this run's is {engine.name!r}")
    return engine


class BatchWriter:
    """Writes requests into `path`, or into `path` with -1, -2, … where they are too many for one file or are of several models.

    `asks` counts those written; `unsendable` those that cannot be put as a request, `reason` is the first one's. The `files` appear
    when `finish` is called. Raises InputError where there is a file already: it may have been sent, and its results would be mixed up.
    """

    def __init__(self, path: Path, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        for taken in (path, _numbered(path, 1)):
            if taken.exists():
                raise InputError(f"--batch-out {str(path)!r}: {taken.name} is there already; name a new file for each round")
        self.path, self.max_lines, self.max_bytes = path, max_lines, max_bytes
        self.asks = self.unsendable = 0
        self.reason = ""
        self.files: list[Path] = []
        self._written: set[bytes] = set()
        self._parts: list[_Part] = []
        self._current: dict[tuple[str, str], _Part] = {}

    def add(self, requests: Sequence[tuple[Engine[Any], bytes, Ask]]) -> None:
        """Writes a request for each (engine, key, ask) that was not written before. Decodes the clips they show."""
        for engine, key, ask in requests:
            if key in self._written:
                continue
            self._written.add(key)
            try:
                line, url = _request(engine, key, ask)
                if len(line) > self.max_bytes:
                    raise ValueError(f"the request has {len(line)} bytes, more than a batch file may have ({self.max_bytes})")
            except (ValueError, MediaError) as error:
                self.unsendable += 1
                self.reason = self.reason or str(error)
                continue
            self._part((url, engine.config.model), len(line)).write(line)
            self.asks += 1

    def finish(self) -> None:
        """Closes the files and gives them their names, which then stand in `files`; none where nothing was written."""
        names = [self.path] if len(self._parts) == 1 else [_numbered(self.path, number + 1) for number in range(len(self._parts))]
        for part, name in zip(self._parts, names, strict=True):
            part.file.close()
            part.path.replace(name)
        self._parts, self._current, self.files = [], {}, names

    def discard(self) -> None:
        """Removes what was written; for a run that did not come to its end."""
        for part in self._parts:
            part.file.close()
            part.path.unlink(missing_ok=True)

    def _part(self, group: tuple[str, str], size: int) -> _Part:
        part = self._current.get(group)
        if part is None or part.lines >= self.max_lines or part.size + size > self.max_bytes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            path = self.path.with_name(f"{self.path.name}.{len(self._parts) + 1}.tmp")
            part = self._current[group] = _Part(path, path.open("wb"))
            self._parts.append(part)
        return part


@dataclass(slots=True)
class _Part:
    path: Path
    file: IO[bytes]
    lines: int = 0
    size: int = 0

    def write(self, line: bytes) -> None:
        self.file.write(line)
        self.lines += 1
        self.size += len(line)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _request(engine: Engine[Any], key: bytes, ask: Ask) -> tuple[bytes, str]:
    asked = request_engine(engine)
    request = {"custom_id": key.hex(), "method": "POST", "url": asked.endpoint, "body": asked.request_body(ask)}
    return json.dumps(request, separators=(",", ":")).encode() + b"\n", asked.endpoint


@dataclass(slots=True)
class BatchCounts:
    """Lines of result files: `used` as replies; `failed` with an error or a status other than 200; `unusable`, answered and yet no reply
    to what was asked; `duplicate`; `unreadable`, no result lines at all; `known`, answered before; `unknown`, of no ask of this run."""

    lines: int = 0
    used: int = 0
    failed: int = 0
    unusable: int = 0
    duplicate: int = 0
    unreadable: int = 0
    known: int = 0
    unknown: int = 0

    def as_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


class BatchResults:
    """Result files, indexed by key; bodies stay on disk until an ask wants its own. `reason` is what the first bad line said.

    Raises InputError where a file cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.counts, self.reason = BatchCounts(), ""
        self._files: list[IO[bytes]] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for path in paths:
            try:
                file = path.open("rb")
            except OSError as error:
                raise InputError(f"--batch-in {str(path)!r}: cannot be read: {error.strerror}") from error
            self._files.append(file)
            self._index(len(self._files) - 1, path)

    def _index(self, number: int, path: Path) -> None:
        file, start = self._files[number], 0
        for place, line in enumerate(file, start=1):
            if line.strip():
                self.counts.lines += 1
                self._sort(line, (number, start), f"{path.name}, line {place}")
            start += len(line)

    def _sort(self, line: bytes, place: tuple[int, int], where: str) -> None:
        key, body, problem = _result(line)
        if key is None:
            self.counts.unreadable += 1
        elif body is None:
            self.counts.failed += 1
        elif key in self._places:
            self.counts.duplicate += 1
        else:
            self._places[key] = place
        if problem:
            self.reason = self.reason or f"{where}: {problem}"

    def reply(self, key: bytes, ask: Ask, engine: Engine[Any], store: ReplyStore) -> Reply | None:
        """The reply to an ask, put into the store; None where the files have none that can be used."""
        place = self._places.pop(key, None)
        if place is None:
            return None
        file = self._files[place[0]]
        file.seek(place[1])
        _, body, _ = _result(file.readline())
        reply = request_engine(engine).reply_of(body, ask)
        if reply.status == "failed":
            self.counts.unusable += 1
            self.reason = self.reason or reply.error
            return None
        store.put(key, reply, engine.identity)
        self.counts.used += 1
        return reply

    def close(self, store: ReplyStore) -> None:
        """Tells the lines that no ask wanted into known and unknown ones, and closes the files."""
        left = list(self._places)
        for start in range(0, len(left), _KEYS_TOGETHER):
            self.counts.known += len(store.get_many(left[start : start + _KEYS_TOGETHER]))
        self.counts.unknown = len(left) - self.counts.known
        for file in self._files:
            file.close()


def _result(line: bytes) -> tuple[bytes | None, Any, str]:
    """(key, body, what is wrong) of a result line; no key where it is none, no body where it failed."""
    try:
        found = json.loads(line)
        name = found["custom_id"]
        key = bytes.fromhex(name) if len(name) == _KEY_DIGITS else None
    except (ValueError, KeyError, TypeError):
        key = None
    if key is None:
        return None, None, "no result line of a batch that vg wrote"
    response = found.get("response")
    response = response if isinstance(response, dict) else {}
    if found.get("error") or response.get("status_code") != 200:
        body = response.get("body")
        said = found.get("error") or (body.get("error") if isinstance(body, dict) else None) or f"status {response.get('status_code')}"
        return key, None, str((said.get("message") or said) if isinstance(said, dict) else said)
    return key, response.get("body"), ""


@dataclass(frozen=True)
class Batch:
    """What a run has of batch files: where asks go instead of to an engine, and what answers them before one does."""

    out: BatchWriter | None = None
    results: BatchResults | None = None

    @property
    def used(self) -> bool:
        """Whether there are files at all."""
        return self.out is not None or self.results is not None

    def close(self, store: ReplyStore) -> None:
        """Settles the counts of the result files and gives the request files their names; `store` is that of the run."""
        if self.results is not None:
            self.results.close(store)
        if self.out is not None:
            self.out.finish()

    def as_json(self) -> dict[str, Any]:
        """What the object of `vg detect --json` says of batch files: what was written out and what was read in."""
        out, results = self.out, self.results
        written = {} if out is None else {"files": [str(file) for file in out.files], "asks": out.asks, "unsendable": out.unsendable}
        return written | ({} if results is None else {"results": results.counts.as_json()})

    def reply(self, key: bytes, ask: Ask, engine: Engine[Any], store: ReplyStore) -> Reply | None:
        """What the result files answer."""
        return self.results.reply(key, ask, engine, store) if self.results is not None else None

    def told(self) -> Iterator[str]:
        """What a person should know of the files read and written, a line each."""
        if self.results is not None:
            counts = ", ".join(f"{number} {name}" for name, number in self.results.counts.as_json().items() if number)
            yield f"batch results: {counts or 'empty'}" + (f"; the first problem: {self.results.reason}" if self.results.reason else "")
        if self.out is not None and self.out.unsendable:
            yield f"{self.out.unsendable} asks cannot be put as a request: {self.out.reason}"


@contextmanager
def opened_batch(out: Path | None, results: Sequence[Path]) -> Iterator[Batch]:
    """The batch files named, for one run; what was written to `out` is removed again where the run breaks off."""
    writer = None if out is None else BatchWriter(out)
    try:
        yield Batch(writer, BatchResults(results) if results else None)
    finally:
        if writer is not None:
            writer.discard()
