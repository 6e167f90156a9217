"""The engine `openai` against a server that answers every request after 50 ms, at concurrency 64: the ideal is 1,280 asks a second.

    python benchmarks/api_engine.py [--asks N] [--json] [--quick]

Server and client are processes of their own on one machine; the server sends one canned reply with the 20 likeliest first tokens, as for
a letter to score. Blocks of the engine and of a bare aiohttp session (64 tasks that post the same bodies and read the JSON, no more) take
turns; their first 1,280 replies, while connections are made and concurrency grows, are not counted. Other load on the machine only
lowers a rate, so the best block stands beside the median. Then the whole way is driven: N questions through `run_detectors` (detector
blind-llm, one ask a question, SQLite store), with the processor time an ask and the resident memory at the first 10^4 asks and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from vidground_core import Ask, OpenAIConfig, OpenAIEngine, Question, Reply

LATENCY, CONCURRENCY = 0.05, 64
IDEAL = CONCURRENCY / LATENCY
AIM = 0.95
_EARLY = 10_000
UNCOUNTED = 1_280
LETTERS = "ABCDE"


def canned() -> bytes:
    """The one response: the letter A, with 20 likeliest first tokens."""
    tokens = [f"{space}{letter}" for letter in "ABCDEFGHIJ" for space in ("", " ")]
    top = [{"token": token, "logprob": -0.7 * (place + 1), "bytes": list(token.encode())} for place, token in enumerate(tokens)]
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "A"}}
    choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": 120, "completion_tokens": 1, "total_tokens": 121}
    body = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Canned(asyncio.Protocol):
    """As little work as can be: a request's end is found, and the canned response sent `LATENCY` later."""

    response = canned()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self._transport: Any = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        """One request at a time comes on a connection."""
        self._held += data
        head = self._held.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._held.lower().find(b"content-length:")
        if len(self._held) >= head + 4 + int(self._held[at + 15 : head].split(b"\r\n", 1)[0]):
            self._held = b""
            asyncio.get_running_loop().call_later(LATENCY, self._send)

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self.response)


async def serve() -> None:
    """Prints its port and serves until killed."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def question(number: int) -> Question:
    """A question of common length."""
    text = f"What does the person in the red coat do after number {number} of the dogs has left the garden?"
    options = tuple(f"{verb} the {number % 97 + place} balls" for place, verb in enumerate(("throws", "hides", "counts", "paints", "eats")))
    return Question(f"q{number}", text, options[number % 5], options, group=f"v{number}")


def body_ask(number: int) -> Ask:
    """What blind-llm asks, nearly."""
    one = question(number)
    lines = [one.text, *(f"{letter}. {option}" for letter, option in zip(LETTERS, one.options, strict=True)), "Answer with the letter."]
    return Ask((("user", ("\n".join(lines),)),), tuple(LETTERS))


class Pace:
    """When replies came, and the processor time by then, from the first that counts."""

    def __init__(self) -> None:
        self.came = 0
        self._from = (0.0, 0.0)

    def one(self) -> None:
        """A reply came."""
        self.came += 1
        if self.came == UNCOUNTED:
            self._from = (time.perf_counter(), time.process_time())

    def ended(self) -> tuple[float, float]:
        """(replies a second, processor seconds a reply)."""
        counted = self.came - UNCOUNTED
        return counted / (time.perf_counter() - self._from[0]), (time.process_time() - self._from[1]) / counted


async def bare(url: str, count: int) -> tuple[float, float]:
    """64 tasks post and read; the least that an aiohttp client can do."""
    import aiohttp

    body = OpenAIEngine(OpenAIConfig(model="m", base_url=url)).request_body
    numbers, pace = iter(range(count)), Pace()

    async def work(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            async with session.post(f"{url}/chat/completions", data=json.dumps(body(body_ask(number))).encode()) as response:
                json.loads(await response.read())
            pace.one()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work(session) for _ in range(CONCURRENCY)))
        return pace.ended()


async def through(url: str, count: int) -> tuple[float, float]:
    """The engine alone, asks made as they are taken."""
    engine, pace = OpenAIEngine(OpenAIConfig(model="m", base_url=url, concurrency=CONCURRENCY)), Pace()
    engine.start()

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for number in range(count):
            yield str(number), body_ask(number)

    async for _, reply in engine.answer(feed()):
        if reply.status != "answered":
            raise SystemExit(f"a reply failed: {reply.error}")
        pace.one()
    return pace.ended()


class Watched(OpenAIEngine):
    """Notes when replies came and what memory the process had."""

    def __init__(self, config: OpenAIConfig) -> None:
        super().__init__(config)
        self.notes: list[tuple[int, float, float, float]] = []

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """As ever, with a note every thousand replies: (replies, seconds, processor seconds, bytes)."""
        came = 0
        async for answered in super().answer(asks):
            if came % 1000 == 0:
                self._note(came)
            came += 1
            yield answered
        self._note(came)

    def _note(self, came: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.notes.append((came, time.perf_counter(), time.process_time(), pages * os.sysconf("SC_PAGE_SIZE")))


def whole_way(url: str, count: int) -> dict[str, float]:
    """Runs the detector over `count` questions in this process."""
    from vidground_core.detectors.blind import BlindLLM
    from vidground_core.runs.executor import ExecutorConfig
    from vidground_core.runs.layout import Layout
    from vidground_core.runs.local import LocalExecutor
    from vidground_core.runs.options import BoundDetector
    from vidground_core.runs.runner import run_detectors

    engine = Watched(OpenAIConfig(model="m", base_url=url, concurrency=CONCURRENCY))
    detector = BlindLLM(BlindLLM.Config(rotations=1, calibration="none", scoring="letters"))
    with tempfile.TemporaryDirectory() as folder:
        bound = BoundDetector(detector, {"model": engine}, LocalExecutor(ExecutorConfig()))
        (counts,) = run_detectors(Layout(Path(folder)), (question(number) for number in range(count)), [bound])
        if (counts.asked, counts.failed) != (count, 0):
            raise SystemExit(f"asked {counts.asked}, failed {counts.failed} of {count}")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    (first, begin, used, _), (came, end, spent, memory) = engine.notes[min(2, len(engine.notes) - 2)], engine.notes[-1]
    came -= first
    early = next((note for note in engine.notes if note[0] >= min(_EARLY, count // 2)), engine.notes[-1])
    return {"rate": came / (end - begin), "processor": (spent - used) / came, "early": early[3], "memory": memory, "disk": size / count}


def measure(url: str, blocks: int, block: int) -> dict[str, list[tuple[float, float]]]:
    """The rates and processor times of each, their blocks taking turns."""
    found: dict[str, list[tuple[float, float]]] = {"bare": [], "engine": []}
    for _ in range(blocks):
        found["bare"].append(asyncio.run(bare(url, block)))
        found["engine"].append(asyncio.run(through(url, block)))
    return found


def rows(asks: int, *, quick: bool) -> Iterator[dict[str, Any]]:
    """The table's rows."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            blocks = measure(url, *((1, 2_560) if quick else (5, 7_680)))
            (plain, plain_cpu), (rate, cpu) = ([statistics.median(one) for one in zip(*blocks[name], strict=True)] for name in blocks)
            best = max(one for one, _ in blocks["engine"])
            yield row(f"engine alone, {CONCURRENCY} under way, best block", best, "asks/s", IDEAL, best / IDEAL, AIM)
            yield row("engine alone, median of the blocks", rate, "asks/s", IDEAL, rate / IDEAL, None)
            yield row("a bare aiohttp session beside it, median", plain, "asks/s", IDEAL, plain / IDEAL, None)
            yield row("engine alone, of the bare session, medians", rate, "asks/s", plain, rate / plain, AIM)
            yield row("engine alone, processor time", cpu * 1e6, "us/ask", plain_cpu * 1e6, plain_cpu / cpu, None)
            done = subprocess.run(
                [sys.executable, __file__, "--drive", url, "--asks", str(asks)], stdout=subprocess.PIPE, text=True, check=True
            )
            way = json.loads(done.stdout)
            yield row(f"runner, store and engine, {asks:,} asks", way["rate"], "asks/s", IDEAL, way["rate"] / IDEAL, None)
            yield row("runner, store and engine, processor time", way["processor"] * 1e6, "us/ask", None, None, None)
            grown = way["memory"] / way["early"]
            what = f"memory at {asks:,} asks, of that at {min(_EARLY, asks // 2):,}"
            yield row(what, way["memory"] / 2**20, "MB", way["early"] / 2**20, grown, "<= 1.2")
        finally:
            server.kill()


def row(what: str, value: float, unit: str, limit: float | None, ratio: float | None, aim: float | str | None) -> dict[str, Any]:
    """One row as the table of all benchmarks has it."""
    return {"what": what, "value": value, "unit": unit, "limit": limit, "ratio": ratio, "aim": aim}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, or with --json the object that benchmarks/run.py reads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=0, help="asks of the whole way; by default 50,000, with --quick 2,000")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--drive", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    asks = chosen.asks or (2_000 if chosen.quick else 50_000)
    if chosen.serve:
        # select() wakes to the microsecond, epoll to the millisecond: 2% of 50 ms.
        asyncio.SelectorEventLoop(selectors.SelectSelector()).run_until_complete(serve())
    elif chosen.drive:
        print(json.dumps(whole_way(chosen.drive, asks)))
    elif chosen.json:
        print(json.dumps({"benchmark": "api_engine", "rows": list(rows(asks, quick=chosen.quick))}))
    else:
        print(f"{'what':54} {'value':>9} unit     {'limit':>9} {'ratio':>6}  aim")
        for one in rows(asks, quick=chosen.quick):
            limit = f"{one['limit']:9.1f}" if one["limit"] is not None else " " * 9
            ratio = f"{one['ratio']:6.3f}" if one["ratio"] is not None else " " * 6
            print(f"{one['what']:54} {one['value']:9.1f} {one['unit']:8} {limit} {ratio}  {one['aim'] or ''}", flush=True)


if __name__ == "__main__":
    main()
