"""A real HTTP server that speaks the OpenAI API, answers from a hash, and misbehaves where it is told to; it counts every request.

An ask is named by the number after "#" in its text. `faults` maps such names to what the first requests for it get, one after the other;
then it is answered. As a process of its own: python fault_server.py PORT
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Fault:
    """What a request gets instead of its answer: a whole response, one that ends after `cut` bytes, or (`hangs`) nothing for ever."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"{}"
    cut: int | None = None
    hangs: bool = False
    spoils: Callable[[dict[str, Any]], object] | None = None  # changes the good answer


def name_of(body: dict[str, Any]) -> str:
    """The ask that a request body is about."""
    found = re.search(r"#(\w+)", json.dumps(body))
    return found.group(1) if found else "?"


def drawn(*what: str) -> float:
    """A number in (0, 1), the same in every process."""
    return (int.from_bytes(hashlib.sha256("\n".join(what).encode()).digest()[:6], "big") + 1) / (2**48 + 2)


def text_of(body: dict[str, Any]) -> str:
    """Everything that the model reads, pictures by their digest."""
    return hashlib.sha256(json.dumps(body.get("messages") or body.get("prompt"), sort_keys=True).encode()).hexdigest()


def letter_logprobs(body: dict[str, Any]) -> dict[str, float]:
    """log P of each letter, both its tokens together, as the model of this server has it."""
    text = text_of(body)
    weights = {letter: drawn(text, letter) for letter in LETTERS}
    return {letter: math.log(0.9 * weight / sum(weights.values())) for letter, weight in weights.items()}


def chat_answer(body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion: a letter, and with `logprobs` the likeliest first tokens, each letter with and without a space before it."""
    logprobs = letter_logprobs(body)
    best = max(logprobs, key=logprobs.__getitem__)
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": best}}
    if body.get("logprobs"):
        shown = [(letter, value + math.log(0.75)) for letter, value in logprobs.items()]
        shown += [(f" {letter}", value + math.log(0.25)) for letter, value in logprobs.items()]
        tokens = [
            {"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in sorted(shown, key=lambda one: -one[1])
        ]
        top = tokens[: body["top_logprobs"]]
        choice["logprobs"] = {"content": [{**tokens[0], "top_logprobs": top}]}
        choice["message"]["content"] = tokens[0]["token"]
    return {
        "object": "chat.completion",
        "model": body["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": 10, "completion_tokens": 1},
    }


def words(text: str) -> list[str]:
    """Tokens: words with the space before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def echo_logprob(tokens: Sequence[str], place: int) -> float:
    """log P of the token at `place` after those before it."""
    return math.log(drawn("".join(tokens[:place]), tokens[place]))


def completions_answer(body: dict[str, Any]) -> dict[str, Any]:
    """A completion; with `echo` the prompt's tokens with their log-probabilities."""
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    choices = []
    for index, prompt in enumerate(prompts):
        choice: dict[str, Any] = {"index": index, "finish_reason": "stop", "text": f" word {int(drawn(prompt) * 100)}"}
        if body.get("echo"):
            tokens = words(prompt)
            values = [None, *(echo_logprob(tokens, place) for place in range(1, len(tokens)))]
            choice |= {"text": prompt, "finish_reason": "length", "logprobs": {"tokens": tokens, "token_logprobs": values}}
        choices.append(choice)
    return {"object": "text_completion", "model": body["model"], "choices": choices, "usage": {"prompt_tokens": 10, "completion_tokens": 1}}


@dataclass
class FaultServer:
    """The server, in a thread of this process. Use it as a context; `url` is its address.

    `requests` and `answers` count what came and what was answered whole, by ask; `most` is how many requests were there at once.
    More than `capacity` at once are turned away with `turned_away`.
    """

    faults: dict[str, Sequence[Fault]] = field(default_factory=dict)
    always: Fault | None = None
    latency: float = 0.0
    capacity: int = 10**6
    turned_away: Fault = field(default_factory=lambda: Fault(429, body=b'{"error": {"message": "slow down"}}'))
    port: int = 0

    def __post_init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.now = self.most = 0
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[Any]] = set()
        self._ready = threading.Event()
        self._done: asyncio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> FaultServer:
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        # A connection that asyncio is still accepting would be left open by `close`.
        while asyncio.all_tasks() - {asyncio.current_task()} - self._connections:
            await asyncio.sleep(0.001)
        server.close()
        tasks = [task for task in self._connections if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.headers.append(head.decode())
                length = re.search(rb"content-length: *(\d+)", head.lower())
                body = json.loads(await reader.readexactly(int(length.group(1)))) if length else {}
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    keep = await self._respond(body, writer)
                finally:
                    self.now -= 1
                if not keep:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _respond(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        name = name_of(body)
        fault = self.turned_away if self.now > self.capacity else self._fault(name)
        self.requests[name] += 1
        self.bodies.append(body)
        await asyncio.sleep(self.latency)
        if fault is not None and fault.hangs:
            await asyncio.sleep(3600)
        answer = completions_answer(body) if "prompt" in body else chat_answer(body)
        if fault is not None and fault.spoils is not None:
            fault.spoils(answer)
        content = json.dumps(answer).encode() if fault is None or fault.spoils is not None else fault.body
        lines = [f"HTTP/1.1 {fault.status if fault else 200} x", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        lines += [f"{key}: {value}" for key, value in fault.headers] if fault else []
        raw = "\r\n".join([*lines, "", ""]).encode() + content
        if fault is not None and fault.cut is not None:
            writer.write(raw[: fault.cut])
            await writer.drain()
            return False
        writer.write(raw)
        await writer.drain()
        if fault is None:
            self.answers[name] += 1
        return True

    def _fault(self, name: str) -> Fault | None:
        planned = self.faults.get(name, ())
        return planned[self.requests[name]] if self.requests[name] < len(planned) else self.always
