"""A small provider of models: answers requests over HTTP, and batch files by the same rule."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion that depends on nothing but the request: letters by log-probabilities, "yes" or "no" of the judge, a number else."""
    digest = hashlib.sha256(json.dumps([body["model"], body["messages"]]).encode()).digest()
    text, logprobs = str(digest[0]), None
    if body["model"] == "judge":
        text = "yes" if digest[0] % 2 else "no"
    if body.get("logprobs"):
        weights = {letter: 1 + digest[place] for place, letter in enumerate("ABCD")}
        total = sum(weights.values()) * 1.01
        top = [{"token": letter, "logprob": math.log(weight / total), "bytes": [ord(letter)]} for letter, weight in weights.items()]
        top += [{"token": f"~{n}", "logprob": math.log(0.0005), "bytes": [126, n]} for n in range(16)]
        chosen = max(top, key=lambda entry: entry["logprob"])
        text, logprobs = chosen["token"], {"content": [{**chosen, "top_logprobs": top}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": logprobs, "finish_reason": "stop"}
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 1}}


def answer_file(requests: Path, results: Path, *, broken: Sequence[int] = ()) -> int:
    """Answers a batch file as a provider does, in another order; requests at the places `broken` fail. Returns how many there were."""
    lines = [json.loads(line) for line in requests.read_text().splitlines()]
    with results.open("w") as out:
        for place, request in reversed(list(enumerate(lines))):
            assert set(request) == {"custom_id", "method", "url", "body"}
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            response: dict[str, Any] = {"status_code": 200, "request_id": f"r{place}", "body": answer(request["body"])}
            if place in broken:
                response = {"status_code": 500, "request_id": f"r{place}", "body": {"error": {"message": "overloaded"}}}
            out.write(json.dumps({"id": f"b{place}", "custom_id": request["custom_id"], "response": response, "error": None}) + "\n")
    return len(lines)


@contextmanager
def serving(asked: list[dict[str, Any]]) -> Iterator[str]:
    """The provider over HTTP at the address that is yielded; every request's body is appended to `asked`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            said = json.dumps(answer(body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
