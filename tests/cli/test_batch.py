"""Batch files out and in by the command line: the verdicts of a live run, without a request that was answered in a file."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core.records import Verdict
from vidground_core.tables import read

Vg = Callable[..., Any]
QUESTIONS = 60
DETECT = ("--detector", "blind-llm", "--engine", "openai", "--model", "small", "--set", "blind-llm.judge=judge")


@pytest.fixture(scope="module")
def provider() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vidground_tests_provider", Path(__file__).with_name("provider.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Questions with four options, and every fifth open-ended, which a judge reads in a second round."""
    file = tmp_path / "rows.jsonl"
    with file.open("w") as out:
        for number in range(QUESTIONS):
            row = {"id": f"q{number}", "question": f"What is seen in {number}?", "answer": "a cat"}
            row |= {"kind": "free-form"} if number % 5 == 4 else {"options": ["a cat", "a dog", "a cow", "a hen"]}
            out.write(json.dumps(row) + "\n")
    return file


@pytest.fixture
def live(provider: ModuleType) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []
    with provider.serving(asked) as address:
        yield address, asked


def _verdicts(out: Path) -> list[Verdict]:
    return list(read(out / "verdicts" / "blind-llm", Verdict))


def test_rounds_of_batch_files_give_the_verdicts_of_a_live_run(
    provider: ModuleType, live: tuple[str, list[dict[str, Any]]], rows: Path, tmp_path: Path, vg: Vg
) -> None:
    address, asked = live
    common = ("detect", f"canonical:{rows}", *DETECT, "--set", f"engine.base_url={address}")
    unbroken = vg(*common, "--out", tmp_path / "live", "--json").json["detectors"][0]
    requests = len(asked)
    assert unbroken["asked"] == requests == QUESTIONS * 4 * 4 // 5 + 2 * (QUESTIONS // 5)
    asked.clear()
    out = ("--out", tmp_path / "batch", "--json")

    first = vg(*common, *out, "--batch-out", tmp_path / "one.jsonl")
    assert first.code == 0, first.err
    batch = first.json["batch"]
    assert (batch["files"], batch["asks"], batch["unsendable"]) == (
        [str(tmp_path / "one.jsonl")],
        QUESTIONS * 4 * 4 // 5 + QUESTIONS // 5,
        0,
    )
    assert (first.json["detectors"][0]["asked"], first.json["detectors"][0]["postponed"]) == (0, QUESTIONS)
    record = json.loads((tmp_path / "batch" / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", "asks are written to batch files and wait for their results")

    assert provider.answer_file(tmp_path / "one.jsonl", tmp_path / "one.out") == batch["asks"]
    second = vg(*common, *out, "--batch-in", tmp_path / "one.out", "--batch-out", tmp_path / "two.jsonl")
    assert second.json["batch"]["results"] == {**NO_LINES, "lines": batch["asks"], "used": batch["asks"]}
    assert (second.json["batch"]["asks"], second.json["detectors"][0]["postponed"]) == (QUESTIONS // 5,) * 2
    assert {json.loads(line)["body"]["model"] for line in (tmp_path / "two.jsonl").read_text().splitlines()} == {"judge"}

    provider.answer_file(tmp_path / "two.jsonl", tmp_path / "two.out")
    third = vg(*common, *out, "--batch-in", tmp_path / "two.out")
    assert (third.json["detectors"][0]["asked"], third.json["detectors"][0]["reused"]) == (0, requests)
    assert asked == []
    assert _verdicts(tmp_path / "batch") == _verdicts(tmp_path / "live")
    assert json.loads((tmp_path / "batch" / "run.json").read_text())["status"] == "done"


NO_LINES = dict.fromkeys(("lines", "used", "failed", "unusable", "duplicate", "unreadable", "known", "unknown"), 0)


def test_what_a_batch_did_not_answer_is_asked_live(
    provider: ModuleType, live: tuple[str, list[dict[str, Any]]], rows: Path, tmp_path: Path, vg: Vg
) -> None:
    address, asked = live
    common = ("detect", f"canonical:{rows}", *DETECT, "--set", f"engine.base_url={address}", "--limit", "4")
    vg(*common, "--out", tmp_path / "batch", "--batch-out", tmp_path / "b.jsonl")
    assert provider.answer_file(tmp_path / "b.jsonl", tmp_path / "b.out", broken=(0, 5)) == 16
    with (tmp_path / "b.out").open("a") as results:
        results.write((tmp_path / "b.out").read_text().splitlines()[0] + "\nnot json\n")
        results.write(json.dumps({"custom_id": "0" * 64, "response": {"status_code": 200, "body": {}}, "error": None}) + "\n")
    ran = vg(*common, "--out", tmp_path / "batch", "--batch-in", tmp_path / "b.out", "--json")
    assert len(asked) == ran.json["detectors"][0]["asked"] == 2
    counts = {"lines": 19, "used": 14, "failed": 2, "duplicate": 1, "unreadable": 1, "unknown": 1}
    assert ran.json["batch"]["results"] == {**NO_LINES, **counts}
    told = "batch results: 19 lines, 14 used, 2 failed, 1 duplicate, 1 unreadable, 1 unknown; the first problem: b.out, line 11: overloaded"
    assert told in ran.err.replace("\n", " ")
    vg(*common, "--out", tmp_path / "live")
    assert _verdicts(tmp_path / "batch") == _verdicts(tmp_path / "live")


def test_a_person_is_told_what_to_do_with_the_file(rows: Path, tmp_path: Path, vg: Vg) -> None:
    ran = vg("detect", f"canonical:{rows}", *DETECT, "--limit", "4", "--out", tmp_path / "o", "--batch-out", tmp_path / "b.jsonl")
    assert f"16 asks, for which 4 questions wait, written to {tmp_path / 'b.jsonl'}" in ran.out
    assert "run the same command with --batch-in RESULTS in place of --batch-out" in ran.out
    again = vg("detect", f"canonical:{rows}", *DETECT, "--limit", "4", "--out", tmp_path / "o", "--batch-out", tmp_path / "b.jsonl")
    assert (again.code, "b.jsonl is there already; name a new file for each round" in again.err) == (2, True)


def test_an_engine_without_requests_is_refused_in_one_line(rows: Path, tmp_path: Path, vg: Vg) -> None:
    arguments = ("detect", f"canonical:{rows}", "--detector", "blind-llm", "--model", "nano", "--out", tmp_path / "o")
    for flag in (("--batch-out", tmp_path / "b.jsonl"), ("--batch-in", rows)):
        ran = vg(*arguments, *flag)
        assert ran.code == 2
        assert ran.err == (
            "error: --batch-out and --batch-in need an engine whose asks are requests: openai; this run's is 'transformers'\n"
        )
    assert not (tmp_path / "o").exists()
    assert list(tmp_path.glob("b.jsonl*")) == []
