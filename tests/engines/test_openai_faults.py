"""Faults of the server, by the whole way (runner, store, engine, HTTP): what completed is neither lost nor asked twice, nothing wrong is stored."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core import Ask, EngineError, OpenAIConfig, OpenAIEngine, Probe, ProbeConfig, ProbeDetector, Question, Reply, Tally, Verdict
from vidground_core.engines.concurrency import ConcurrencyLimit
from vidground_core.engines.openai_sending import Sender
from vidground_core.engines.openai_transport import connect
from vidground_core.records import reply_key
from vidground_core.runs.executor import ExecutorConfig
from vidground_core.runs.layout import Layout
from vidground_core.runs.local import LocalExecutor
from vidground_core.runs.options import BoundDetector, DetectorCounts, FinishedWithFailuresError, RunnerOptions
from vidground_core.runs.runner import run_detectors
from vidground_core.runs.store import ReplyStore

ASKS = 40


class Letters(ProbeDetector[ProbeConfig]):
    """Scores letters, or generates where its `model` option says so; one ask a question."""

    name, version, Config = "letters", "1", ProbeConfig

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"text", "letters"})

    def probes(self, question: Question) -> Sequence[Probe]:
        return [Probe(ask_of(question.id, scoring=self.config.model != "generate"))]

    def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
        failed = sum(reply.status == "failed" for reply in replies)
        return Verdict(question.id, self.name, "x", None if failed else 1.0, None if failed else True, {"blind": Tally(1, failed=failed)})


def ask_of(name: str, *, scoring: bool = True) -> Ask:
    return Ask((("user", (f"What is shown in #{name}?",)),), ("A", "B", "C") if scoring else ())


def rows(number: int = ASKS) -> Iterator[Question]:
    for index in range(number):
        yield Question(f"q{index}", f"What is shown in #q{index}?", "a cat", ("a dog", "a cat", "a tree"))


def engine_of(url: str, **options: Any) -> OpenAIEngine:
    return OpenAIEngine(OpenAIConfig(model="small", base_url=url, **{"timeout": 5, "deadline": 20} | options))


def run(out: Path, engine: OpenAIEngine, *, scoring: bool = True, number: int = ASKS, **options: Any) -> DetectorCounts:
    detector = Letters(ProbeConfig(model="" if scoring else "generate"))
    bound = BoundDetector(detector, {"model": engine}, LocalExecutor(ExecutorConfig()))
    (counts,) = run_detectors(Layout(out), rows(number), [bound], options=RunnerOptions(**{"retries": 0} | options))
    return counts


def stored(out: Path, engine: OpenAIEngine, *, scoring: bool = True, number: int = ASKS) -> dict[str, Reply]:
    """The store's rows by ask; a row that belongs to no ask fails the test."""
    keys = {reply_key(ask_of(f"q{index}", scoring=scoring), engine.identity): f"q{index}" for index in range(number)}
    with ReplyStore(out / "replies.sqlite") as store:
        found = store.get_many(keys)
        assert len(store) == len(found)
    return {keys[key]: reply for key, reply in found.items()}


def require_right(faults: ModuleType, found: dict[str, Reply], engine: OpenAIEngine, *, scoring: bool = True) -> None:
    """Every stored reply is the one that the server's model gives, computed here without any server."""
    for name, reply in found.items():
        body = engine.request_body(ask_of(name, scoring=scoring))
        if scoring:
            expected = faults.letter_logprobs(body)
            assert reply.logprobs == pytest.approx([expected[letter] for letter in "ABC"])
            assert reply.usage == (10, 1)
        else:
            assert reply.text == faults.chat_answer(body)["choices"][0]["message"]["content"]


def _first(answer: dict[str, Any]) -> dict[str, Any]:
    return answer["choices"][0]


def _token(answer: dict[str, Any]) -> dict[str, Any]:
    return _first(answer)["logprobs"]["content"][0]


Spoils = Callable[[dict[str, Any]], object]
SHAPES: dict[str, Spoils] = {
    "choices are empty": lambda answer: answer.update(choices=[]),
    "no choices": lambda answer: answer.pop("choices"),
    "two choices": lambda answer: answer["choices"].append(answer["choices"][0]),
    "log-probabilities are null": lambda answer: _first(answer).update(logprobs=None),
    "no log-probabilities": lambda answer: _first(answer).pop("logprobs"),
    "content is null": lambda answer: _first(answer)["logprobs"].update(content=None),
    "content is empty": lambda answer: _first(answer)["logprobs"].update(content=[]),
    "top_logprobs is null": lambda answer: _token(answer).update(top_logprobs=None),
    "top_logprobs is empty": lambda answer: _token(answer).update(top_logprobs=[]),
    "top_logprobs is too short": lambda answer: _token(answer).update(top_logprobs=_token(answer)["top_logprobs"][:1]),
    "a log-probability is null": lambda answer: _token(answer)["top_logprobs"][2].update(logprob=None),
    "a log-probability is NaN": lambda answer: _token(answer)["top_logprobs"][2].update(logprob=float("nan")),
    "a log-probability is a text": lambda answer: _token(answer)["top_logprobs"][2].update(logprob="-1.0"),
    "a log-probability is true": lambda answer: _token(answer)["top_logprobs"][2].update(logprob=True),
    "a log-probability is positive": lambda answer: _token(answer)["top_logprobs"][2].update(logprob=3.5),
    "probabilities sum to two": lambda answer: [entry.update(logprob=-0.5) for entry in _token(answer)["top_logprobs"]],
    "a token is no text": lambda answer: _token(answer)["top_logprobs"][2].update(token=7),
    "an entry is a number": lambda answer: _token(answer)["top_logprobs"].__setitem__(2, -1.0),
    "tokens of another text": lambda answer: _first(answer)["message"].update(content="Sorry, no."),
    "an error with status 200": lambda answer: answer.update(error={"message": "overloaded"}),
}
GENERATED: dict[str, Spoils] = {
    "choices are empty": SHAPES["choices are empty"],
    "no message": lambda answer: _first(answer).pop("message"),
    "the message is null": lambda answer: _first(answer).update(message=None),
    "no text": lambda answer: _first(answer)["message"].pop("content"),
    "the text is null": lambda answer: _first(answer)["message"].update(content=None),
    "a choice is a text": lambda answer: answer.update(choices=["A"]),
}


def _transport_faults(faults: ModuleType) -> dict[str, Any]:
    error = b'{"error": {"message": "busy"}}'
    # The date is of a whole second, which may be over already.
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    return {
        "429": faults.Fault(429, body=error),
        "429 Retry-After: 0": faults.Fault(429, (("Retry-After", "0"),), error),
        "429 Retry-After: 1": faults.Fault(429, (("Retry-After", "1"),), error),
        "429 Retry-After: a date": faults.Fault(429, (("Retry-After", soon),), error),
        "429 Retry-After: nonsense": faults.Fault(429, (("Retry-After", "soon"),), error),
        "500": faults.Fault(500, body=b"<html>Internal error</html>"),
        "503": faults.Fault(503, body=b""),
        "503 Retry-After: 1": faults.Fault(503, (("Retry-After", "1"),), error),
        "hangs": faults.Fault(hangs=True),
        "cut at once": faults.Fault(cut=0),
        "cut in the headers": faults.Fault(cut=25),
        "cut in the body": faults.Fault(body=b'{"choices": [{"index": 0, "message"', cut=95),
        "broken JSON": faults.Fault(body=b'{"choices": [{"index": 0, '),
        "empty body": faults.Fault(body=b""),
        "JSON that is no object": faults.Fault(body=b"[1, 2]"),
        "no UTF-8": faults.Fault(body=b"\xff\xfe{}"),
    }


def _shapes(faults: ModuleType, shapes: dict[str, Spoils]) -> dict[str, Any]:
    return {name: faults.Fault(spoils=spoils) for name, spoils in shapes.items()}


def _pass_over(faults: ModuleType, out: Path, met: dict[str, Any], *, scoring: bool = True, **options: Any) -> None:
    """Every fourth ask meets a fault of its own, once: exactly those are sent twice, all are answered once, a second run sends nothing."""
    number = 4 * len(met)
    asks = {f"q{4 * index}": name for index, name in enumerate(met)}
    with faults.FaultServer({ask: [met[name]] for ask, name in asks.items()}) as server:
        engine = engine_of(server.url, **options)
        counts = run(out, engine, scoring=scoring, number=number)
        assert (counts.asked, counts.failed, counts.verdicts) == (number, 0, number)
        assert server.answers == {f"q{index}": 1 for index in range(number)}
        others = [f"q{index}" for index in range(number) if f"q{index}" not in asks]
        sent = {asks[name]: server.requests[name] for name in asks}
        assert sent == dict.fromkeys(met, 2)
        assert {server.requests[name] for name in others} == {1}
        found = stored(out, engine, scoring=scoring, number=number)
        assert len(found) == number
        require_right(faults, found, engine, scoring=scoring)
        (out / "verdicts" / "letters" / "part-00000.json").unlink()
        counts = run(out, engine_of(server.url, **options), scoring=scoring, number=number)
        assert (counts.asked, counts.reused, server.requests.total()) == (0, number, number + len(met))


def test_a_fault_that_passes_costs_one_more_request_and_nothing_else(faults: ModuleType, tmp_path: Path) -> None:
    _pass_over(faults, tmp_path, _transport_faults(faults), timeout=1.5)


def test_so_it_does_where_every_request_is_the_sdks(faults: ModuleType, tmp_path: Path) -> None:
    _pass_over(faults, tmp_path, _transport_faults(faults), timeout=2.5, transport="sdk")


def test_log_probabilities_of_a_wrong_shape_are_asked_for_again(faults: ModuleType, tmp_path: Path) -> None:
    _pass_over(faults, tmp_path, _shapes(faults, SHAPES))


def test_a_generated_answer_without_text_is_asked_for_again(faults: ModuleType, tmp_path: Path) -> None:
    _pass_over(faults, tmp_path, _shapes(faults, GENERATED), scoring=False)


def test_every_fault_at_once_and_for_good(faults: ModuleType, tmp_path: Path) -> None:
    """One ask for each fault, for ever: each fails with its reason and is not stored; the others are; mended, exactly those are sent."""
    broken = _transport_faults(faults) | _shapes(faults, SHAPES)
    wrong = {f"q{index}": [fault] * 2 for index, fault in enumerate(broken.values())}
    number = 2 * len(wrong)
    with faults.FaultServer(wrong) as server:
        engine = engine_of(server.url, timeout=0.7, deadline=3, attempts=2)
        with pytest.raises(FinishedWithFailuresError, match=f"{len(wrong)} of {number} asks stayed failed"):
            run(tmp_path, engine, number=number)
        assert server.requests == {f"q{index}": 2 if f"q{index}" in wrong else 1 for index in range(number)}
        found = stored(tmp_path, engine, number=number)
        assert set(found) == {f"q{index}" for index in range(number)} - set(wrong)
        require_right(faults, found, engine)
        counts = run(tmp_path, engine_of(server.url), number=number)
        assert (counts.asked, counts.failed) == (len(wrong), 0)
        assert set(server.answers.values()) == {1}
        assert len(stored(tmp_path, engine, number=number)) == number


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (400, "maximum context length is 4096 tokens", "the server answered 400: maximum context length is 4096 tokens"),
        (422, "unknown field", "the server answered 422: unknown field"),
        (413, "too many images", "the server answered 413: too many images"),
        (400, "bad request by Bearer top-secret-1 and sk-abc***def", "the server answered 400: bad request by Bearer *** and ***"),
    ],
)
def test_an_ask_that_is_refused_is_sent_once_and_fails_in_the_servers_words(
    faults: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, message: str, said: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "top-secret-1")
    refused = faults.Fault(status, body=json.dumps({"error": {"message": message}}).encode())
    with faults.FaultServer({"q5": [refused]}) as server:
        with pytest.raises(FinishedWithFailuresError) as error:
            run(tmp_path, engine_of(server.url))
        assert server.requests == {f"q{index}": 1 for index in range(ASKS)}
        assert "authorization: bearer top-secret-1" in server.headers[0].lower()
    assert str(error.value).startswith(f"1 of {ASKS} asks stayed failed, allowed: 0; the last said: {said}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"top-secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("spoils", "said"),
    [
        (lambda answer: _first(answer).update(finish_reason="content_filter"), "the server's content filter stopped the answer"),
        (lambda answer: _first(answer)["message"].update(content=" \n"), "the answer is empty: the model ended it at once"),
        (
            lambda answer: (_first(answer).update(finish_reason="length"), _first(answer)["message"].update(content="")),
            "the answer was cut off before it began",
        ),
    ],
)
def test_what_would_come_again_is_a_failed_reply_that_is_not_sent_again(
    faults: ModuleType, tmp_path: Path, spoils: Spoils, said: str
) -> None:
    with faults.FaultServer({"q5": [faults.Fault(spoils=spoils)]}) as server:
        engine = engine_of(server.url)
        with pytest.raises(FinishedWithFailuresError, match=said):
            run(tmp_path, engine, scoring=False)
        assert server.requests.total() == ASKS
        assert "q5" not in stored(tmp_path, engine, scoring=False)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, {"message": "Incorrect API key provided: sk-12***89"}, "answered 401 to the model 'small': Incorrect API key provided: ***"),
        (403, {"message": "country not supported"}, "answered 403 to the model 'small': country not supported"),
        (404, {"message": "The model `small` does not exist."}, "answered 404 to the model 'small': The model `small` does not exist."),
        (429, {"message": "check your plan", "code": "insufficient_quota"}, "answered 429 to the model 'small': check your plan"),
    ],
)
def test_a_server_that_lets_nobody_in_ends_the_run_in_two_lines(
    faults: ModuleType, tmp_path: Path, status: int, error: dict[str, str], said: str
) -> None:
    with faults.FaultServer(always=faults.Fault(status, body=json.dumps({"error": error}).encode())) as server:
        with pytest.raises(EngineError) as raised:
            run(tmp_path, engine_of(server.url, concurrency=4))
        assert server.requests.total() <= 4
        assert set(server.requests.values()) == {1}
        first, second = str(raised.value).splitlines()
        assert first == f"the server {server.url} {said}"
        assert second.startswith("check the model's name, the address, and the key in the environment variable 'OPENAI_API_KEY'")


def test_a_key_that_is_revoked_in_the_middle_keeps_what_was_answered(faults: ModuleType, tmp_path: Path) -> None:
    with faults.FaultServer({"q20": [faults.Fault(401, body=b"{}")] * 9}) as server:
        engine = engine_of(server.url, concurrency=4)
        with pytest.raises(EngineError, match="answered 401"):
            run(tmp_path, engine)
        found = stored(tmp_path, engine)
        assert set(found) == set(server.answers)  # what was under way beside it came back too
        assert len(found) >= 16
        server.faults.clear()
        run(tmp_path, engine_of(server.url))
        assert server.answers == {f"q{index}": 1 for index in range(ASKS)}


def test_a_server_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"the server http://127\.0\.0\.1:9/v1 cannot be reached: .*\ncheck the address, and that the server"
    ):
        run(tmp_path, engine_of("http://127.0.0.1:9/v1"))


def test_a_server_that_fails_every_ask_is_given_up_after_64(faults: ModuleType, tmp_path: Path) -> None:
    with faults.FaultServer(always=faults.Fault(400, body=b'{"detail": "no chat template"}')) as server:
        with pytest.raises(EngineError, match="failed 64 asks one after the other; the last: the server answered 400: no chat template"):
            run(tmp_path, engine_of(server.url, concurrency=4), number=300)
        assert 64 <= server.requests.total() < 64 + 4


def test_a_server_that_breaks_down_is_given_up_and_what_it_answered_is_kept(faults: ModuleType, tmp_path: Path) -> None:
    broken = {f"q{index}": [faults.Fault(503)] * 9 for index in range(50, 300)}
    with faults.FaultServer(broken) as server:
        engine = engine_of(server.url, attempts=1)
        with pytest.raises(EngineError, match="failed 64 asks one after the other; the last: the server answered 503"):
            run(tmp_path, engine, number=300)
        assert set(stored(tmp_path, engine, number=300)) == {f"q{index}" for index in range(50)}


def test_a_long_row_of_refused_asks_is_no_reason_to_give_up_a_server_that_answers(faults: ModuleType, tmp_path: Path) -> None:
    with faults.FaultServer({f"q{index}": [faults.Fault(400, body=b"{}")] for index in range(10, 150)}) as server:
        with pytest.raises(FinishedWithFailuresError, match="140 of 160 asks stayed failed"):
            run(tmp_path, engine_of(server.url, concurrency=4), number=160)
        assert server.answers.total() == 20


def test_time_spent_waiting_for_others_is_not_counted_against_the_deadline(faults: ModuleType) -> None:
    async def drive(url: str) -> list[Reply]:
        engine = engine_of(url, timeout=0.5, deadline=0.5)

        async def content(ask: Ask) -> bytes:
            return json.dumps(engine.request_body(ask)).encode()

        transport = connect(engine.config, "none")
        sender = Sender(engine.config, transport, ConcurrencyLimit(1), content, key="none")
        try:
            return await asyncio.gather(*(sender.reply(ask_of(f"q{index}")) for index in range(30)))
        finally:
            await transport.close()

    with faults.FaultServer(latency=0.05) as server:  # 1.5 s, one after the other
        assert {reply.status for reply in asyncio.run(drive(server.url))} == {"answered"}
        assert server.most == 1


def test_a_wait_longer_than_the_deadline_fails_at_once(faults: ModuleType, tmp_path: Path) -> None:
    with faults.FaultServer({"q5": [faults.Fault(429, (("Retry-After", "3600"),))]}) as server:
        with pytest.raises(FinishedWithFailuresError, match=r"asked again in 3.6e\+03 s; its deadline of 20 s is over after attempt 1"):
            run(tmp_path, engine_of(server.url))
        assert server.requests["q5"] == 1


def test_a_crowded_server_is_asked_less_at_a_time_and_every_ask_is_answered_once(faults: ModuleType, tmp_path: Path) -> None:
    with faults.FaultServer(capacity=4, latency=0.01) as server:
        engine = engine_of(server.url, attempts=30, deadline=60)
        counts = run(tmp_path, engine, number=300)
        assert (counts.failed, len(stored(tmp_path, engine, number=300))) == (0, 300)
        assert set(server.answers.values()) == {1}
        # 64 without adapting would be turned away 15 times out of 16; with it most requests are let in.
        assert server.requests.total() < 2 * 300


def test_one_ask_that_hangs_holds_up_no_other(faults: ModuleType, tmp_path: Path) -> None:
    with faults.FaultServer({"q0": [faults.Fault(hangs=True)]}) as server:
        engine = engine_of(server.url, timeout=2, concurrency=2)
        run(tmp_path, engine, number=ASKS)
        assert [name for name, times in server.requests.items() if times > 1] == ["q0"]
        connection = sqlite3.connect(tmp_path / "replies.sqlite")
        *_, (last,) = connection.execute("SELECT key FROM replies ORDER BY rowid")
        connection.close()
        assert last == reply_key(ask_of("q0"), engine.identity)
