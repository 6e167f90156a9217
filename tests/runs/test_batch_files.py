"""Batch files: what fits in one, what comes back, what is no result."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core.engines.openai import OpenAIEngine
from vidground_core.engines.openai_config import OpenAIConfig
from vidground_core.errors import EngineError, InputError
from vidground_core.records import Ask, Clip, Verdict, reply_key
from vidground_core.runs.batch_files import Batch, BatchResults, BatchWriter, opened_batch, request_engine
from vidground_core.runs.store import ReplyStore
from vidground_core.tables import read


def _engine(model: str = "small", **options: Any) -> OpenAIEngine:
    return OpenAIEngine(OpenAIConfig(model=model, base_url="http://127.0.0.1:9/v1", **options))


def _ask(text: str) -> Ask:
    return Ask((("user", (text,)),))


def _requests(*texts: str, engine: OpenAIEngine | None = None) -> list[tuple[OpenAIEngine, bytes, Ask]]:
    engine = engine or _engine()
    return [(engine, reply_key(_ask(text), engine.identity), _ask(text)) for text in texts]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _result(key: bytes, text: str = "four", **over: Any) -> str:
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    return json.dumps({"custom_id": key.hex(), "response": {"status_code": 200, "body": body}, "error": None} | over) + "\n"


def test_a_request_has_the_key_and_the_body_of_a_live_one(tmp_path: Path) -> None:
    writer = BatchWriter(tmp_path / "b.jsonl")
    requests = _requests("one", "one", "two")
    writer.add(requests)
    writer.add(requests[:1])
    assert list(tmp_path.glob("b.jsonl")) == []
    writer.finish()
    engine, key, ask = requests[0]
    first, second = _lines(tmp_path / "b.jsonl")
    assert first == {"custom_id": key.hex(), "method": "POST", "url": "/v1/chat/completions", "body": engine.request_body(ask)}
    assert (second["custom_id"], writer.asks, writer.files) == (requests[2][1].hex(), 2, [tmp_path / "b.jsonl"])


@pytest.mark.parametrize("limit", [{"max_lines": 4}, {"max_bytes": 1_000}])
def test_files_are_split_at_the_providers_limits(tmp_path: Path, limit: dict[str, int]) -> None:
    writer = BatchWriter(tmp_path / "b.jsonl", **limit)
    requests = _requests(*(f"question {number}" for number in range(10)))
    writer.add(requests)
    writer.finish()
    assert writer.files == [tmp_path / f"b-{number}.jsonl" for number in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-1.jsonl", "b-2.jsonl", "b-3.jsonl"]
    assert all(len(_lines(file)) <= 4 and file.stat().st_size <= 1_000 for file in writer.files)
    assert [line["custom_id"] for file in writer.files for line in _lines(file)] == [key.hex() for _, key, _ in requests]


def test_each_model_has_files_of_its_own(tmp_path: Path) -> None:
    writer = BatchWriter(tmp_path / "b.jsonl")
    writer.add(_requests("one", "two") + _requests("one", engine=_engine("judge")))
    writer.finish()
    assert [{line["body"]["model"] for line in _lines(file)} for file in writer.files] == [{"small"}, {"judge"}]


def test_asks_that_cannot_be_requests_are_counted_and_left_out(tmp_path: Path) -> None:
    writer = BatchWriter(tmp_path / "b.jsonl", max_bytes=500)
    engine = _engine(api="completions")
    clip = Ask((("user", (Clip("v.mp4", "d" * 64), "what?")),))
    writer.add([(engine, b"k" * 32, clip), *_requests("x" * 600), *_requests("short")])
    writer.finish()
    assert (writer.asks, writer.unsendable, len(_lines(tmp_path / "b.jsonl"))) == (1, 2, 1)
    assert "completions takes text only" in writer.reason
    (told,) = Batch(out=writer).told()
    assert told == f"2 asks cannot be put as a request: {writer.reason}"


@pytest.mark.parametrize("name", ["b.jsonl", "b-1.jsonl"])
def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("sent already")
    with pytest.raises(InputError, match=f"{name} is there already; name a new file for each round"):
        BatchWriter(tmp_path / "b.jsonl")
    assert (tmp_path / name).read_text() == "sent already"


def test_a_run_that_breaks_off_leaves_no_half_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), opened_batch(tmp_path / "b.jsonl", ()) as batch:
        assert batch.out is not None
        batch.out.add(_requests("one"))
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_results_become_replies_in_the_store(tmp_path: Path) -> None:
    engine = _engine()
    requests = _requests("one", "two", "three", "four", engine=engine)
    keys = [key for _, key, _ in requests]
    error = {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
    empty = {"response": {"status_code": 200, "body": {"choices": []}}}
    lines = [_result(keys[0]), _result(keys[0], "another"), _result(keys[1], **error), _result(keys[2], **empty), "[]\n", "\n"]
    (tmp_path / "a.out").write_text("".join(lines))
    (tmp_path / "b.out").write_text(_result(keys[1], "after all") + _result(b"?" * 32) + _result(keys[3]))
    with ReplyStore(tmp_path / "s.sqlite") as store:
        store.put(keys[3], engine.reply_of(json.loads(_result(keys[3]))["response"]["body"], requests[3][2]), engine.identity)
        results = BatchResults([tmp_path / "a.out", tmp_path / "b.out"])
        replies = [results.reply(key, ask, engine, store) for _, key, ask in requests[:3]]
        assert [reply and (reply.text, reply.usage) for reply in replies] == [("four", (7, 2)), ("after all", (7, 2)), None]
        results.close(store)
        assert set(store.get_many(keys)) == {keys[0], keys[1], keys[3]}
    counts = {"lines": 8, "used": 2, "failed": 1, "unusable": 1, "duplicate": 1, "unreadable": 1, "known": 1, "unknown": 1}
    assert results.counts.as_json() == counts
    assert results.reason == "a.out, line 3: too late"


def test_a_result_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--batch-in '.*gone.out': cannot be read: No such file or directory"):
        BatchResults([tmp_path / "gone.out"])


def test_an_engine_without_requests_is_refused(drive: ModuleType) -> None:
    with pytest.raises(EngineError, match="need an engine whose asks are requests: openai; this run's is 'log'"):
        request_engine(drive.LogEngine(drive.LogConfig()))


def test_shards_whose_questions_are_all_answered_are_finished_beside_those_that_wait(drive: ModuleType, tmp_path: Path) -> None:
    class Requesting(drive.LogEngine):  # type: ignore[name-defined, misc]
        endpoint = "/v1/chat/completions"

        def request_body(self, ask: Ask) -> dict[str, Any]:
            return {"model": "m", "messages": [str(ask.messages)]}

        def reply_of(self, body: Any, ask: Ask) -> Any:
            raise AssertionError("no result is read here")

    bound = drive.bind(drive.Plain(drive.PlainConfig()), Requesting(drive.LogConfig()))
    drive.run(tmp_path / "part", bound, rows=25, store=tmp_path / "s.sqlite")
    with opened_batch(tmp_path / "b.jsonl", ()) as batch:
        (counts,) = drive.run(tmp_path / "out", bound, rows=40, store=tmp_path / "s.sqlite", batch=batch)
    assert (counts.verdicts, counts.postponed, counts.asked, counts.reused) == (25, 15, 0, 50)
    assert len(_lines(tmp_path / "b.jsonl")) == 30
    assert sorted(path.name for path in (tmp_path / "out" / "verdicts" / "plain").glob("*.parquet")) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert len(list(read(tmp_path / "out" / "verdicts" / "plain", Verdict))) == 20
