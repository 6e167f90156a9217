"""Shares of a run on machines that know nothing of each other, and their stores put together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.records import Verdict
from vidground_core.tables import read

Vg = Callable[..., Any]
SHARES = 3
# Both look at other questions: the one for another video, the other for the bias of each position.
DETECTORS = ("mismatched-video", "blind-llm")
OPTIONS = ("blind-llm.rotations=1", "blind-llm.calibration=permutations", "blind-llm.calibration_questions=6")


@pytest.fixture
def detect(counting: Path) -> list[str]:
    """The command over 40 questions on ten videos, whose files are not decoded."""
    with (counting / "rows.jsonl").open("w") as out:
        for number in range(40):
            video = counting / f"v{number // 4}.mp4"
            video.write_bytes(f"video {number // 4}".encode())
            row = {"id": f"q{number}", "question": f"What is seen in {number}?", "options": ["a cat", "a dog", "a cow", "a hen"]}
            out.write(json.dumps(row | {"answer": "a cow", "media": [{"path": str(video)}]}) + "\n")
    chosen = [word for name in DETECTORS for word in ("--detector", name)]
    options = [word for option in OPTIONS for word in ("--set", option)]
    return ["detect", f"canonical:{counting / 'rows.jsonl'}", *chosen, *options, "--engine", "counting", "--model", "m", "--json"]


def _verdicts(out: Path) -> dict[str, list[Verdict]]:
    return {name: list(read(out / "verdicts" / name, Verdict)) for name in DETECTORS}


def test_shares_merged_ask_nothing_and_give_the_verdicts_of_an_unbroken_run(detect: list[str], counting: Path, vg: Vg) -> None:
    shares = [f"{number}/{SHARES}" for number in range(1, SHARES + 1)]
    folders = [counting / f"shard-{number}" for number in range(1, SHARES + 1)]
    ran = [vg(*detect, "--shard", share, "--out", folder).json for share, folder in zip(shares, folders, strict=True)]
    assert sum(one["questions"] for one in ran) == 40
    assert all(one["detectors"][0]["asked"] > 0 for one in ran)
    merged = vg("store", "merge", counting / "all.sqlite", *folders)
    assert merged.code == 0, merged.err
    whole = vg(*detect, "--store", counting / "all.sqlite", "--out", counting / "whole").json
    assert vg(*detect, "--out", counting / "unbroken").code == 0
    assert [one["asked"] for one in whole["detectors"]] == [0, 0]
    assert _verdicts(counting / "whole") == _verdicts(counting / "unbroken")
    assert {name: len(found) for name, found in _verdicts(counting / "whole").items()} == dict.fromkeys(DETECTORS, 40)
    assert len({verdict.shortcut for verdict in _verdicts(counting / "whole")["mismatched-video"]}) > 1


def test_a_directory_keeps_its_share(detect: list[str], counting: Path, vg: Vg) -> None:
    assert vg(*detect, "--shard", "1/4", "--out", counting / "o").code == 0
    assert 'shard: "1/4" → "2/4"' in vg(*detect, "--shard", "2/4", "--out", counting / "o").err
    assert 'shard: "1/4" → (not set)' in vg(*detect, "--out", counting / "o").err


def test_shares_that_cannot_be_are_refused_before_anything_is_written(detect: list[str], counting: Path, vg: Vg) -> None:
    for spec, said in (("0/4", "I is counted from 1 to N"), ("5/4", "the shares of 4 are 1/4 to 4/4"), ("x", "expected I/N, such as 1/4")):
        ran = vg(*detect, "--shard", spec, "--out", counting / "o")
        assert (ran.code, said in ran.err) == (2, True)
    ran = vg("detect", detect[1], "--detector", "question-only", "--shard", "1/4", "--out", counting / "o")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "the detector 'question-only' asks nothing and needs all questions at once: run it without --shard" in ran.err
    assert not (counting / "o").exists()


def test_a_share_of_an_audit_is_the_audit_of_a_share(detect: list[str], counting: Path, vg: Vg) -> None:
    command = ["audit", *detect[1:], "--shard", "2/4"]
    assert vg(*command, "--out", counting / "o").json["questions"] == 10
    for flags in (("--shard", "2/4"), ("--max-cost", "2.5"), ("--max-tokens", "9")):
        ran = vg("audit", *detect[1:], *flags)
        said = (
            f"{' '.join(flags)} ends before the whole is audited, and without --out its replies are lost: name --out DIR, or --store FILE"
        )
        assert (ran.code, said in ran.err) == (2, True)


def test_vg_run_takes_no_share(counting: Path, vg: Vg) -> None:
    ran = vg("run", "--set", "shard=1/4", "--out", counting / "o")
    assert ran.code == 2
    assert "shard = '1/4': vg run needs all questions; vg detect and vg audit take a share" in ran.err


def test_a_limit_that_is_reached_ends_with_3_and_the_same_command_goes_on(detect: list[str], counting: Path, vg: Vg) -> None:
    ran = vg(*detect, "--max-tokens", "550", "--out", counting / "o")
    assert ran.code == 3
    assert "stopped: --max-tokens 550 is reached: 550 tokens (500 of prompts, 50 generated) for 50 replies; " in ran.err
    assert ran.json["spent"] == {"replies": 50, "prompt_tokens": 500, "generated_tokens": 50, "cost": 0}
    record = json.loads((counting / "o" / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", ran.json["stopped"])
    ran = vg(*detect, "--max-tokens", "1000000", "--out", counting / "o")
    assert (ran.code, ran.json["detectors"][0]["reused"]) == (0, 50)
    record = json.loads((counting / "o" / "run.json").read_text())
    assert (record["status"], "reason" in record) == ("done", False)
    for flag in ("--max-cost", "--max-tokens"):
        assert flag in vg(*detect, flag, "-1", "--out", counting / "p").err
