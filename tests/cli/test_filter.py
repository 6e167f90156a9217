"""`vg filter` on recorded judgements, as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Decision, Question
from vidground_core.tables import count, read

Vg = Callable[..., Any]
EVERY = {"gemini": 5, "gpt": 2, "qwen": 3}


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 questions of which three recorded judges answer every second, third and fifth."""
    from tests.conftest import run_vg  # type: ignore[import-not-found]

    folder = tmp_path_factory.mktemp("recorded")
    rows = [{"id": f"q{n:02}", "question": "?", "options": ["a", "b", "c", "d"], "answer": "A", "source": "xy"[n % 2]} for n in range(60)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [{"id": f"q{n:02}", "judge": judge, "correct": n % step == 0} for judge, step in EVERY.items() for n in range(60)]
    (folder / "judged.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recorded = ("--detector", "recorded", "--set", f"recorded.path={folder / 'judged.jsonl'}")
    ran = run_vg("detect", folder / "rows.jsonl", *recorded, "--out", folder / "detect")
    assert ran.code == 0, ran.err
    return folder / "detect"


def test_policies_are_applied_in_order_and_each_drop_is_signed(detected: Path, vg: Vg, tmp_path: Path) -> None:
    chain = ("--policy", "consensus", "--policy", "budget", "--set", "budget.keep=30", "--set", "consensus.m=2")
    ran = vg("filter", detected, *chain, "--out", tmp_path / "f")
    assert ran.code == 0, ran.err
    # Of 60 numbers 16 are divisible by two or more of 2, 3 and 5.
    assert "consensus + budget 1 + 1: kept 30 of 60 (50.0%), dropped 30" in ran.out
    assert "VG questions probably dropped by luck: " in ran.out
    result = vg("filter", detected, *chain, "--out", tmp_path / "f", "--json").json
    assert [(step["name"], step["reached"], step["dropped"]) for step in result["policies"]] == [("consensus", 60, 16), ("budget", 44, 14)]
    assert 0 < result["expected_false_drops"] < 30
    signed = [decision.policy for decision in read(tmp_path / "f" / "decisions", Decision) if not decision.kept]
    assert (signed.count("consensus"), signed.count("budget")) == (16, 14)
    assert count(tmp_path / "f" / "steps" / "1-consensus") == 60
    resolved = json.loads((tmp_path / "f" / "run.json").read_text())["resolved"]
    assert [(one["name"], one["version"]) for one in resolved["filters"]] == [("consensus", "1"), ("budget", "1")]


def test_a_control_arm_is_as_large_as_the_arm_it_controls(detected: Path, vg: Vg, tmp_path: Path) -> None:
    chain = ("--policy", "consensus", "--policy", "random-matched")
    result = vg("filter", detected, *chain, "--seed", "5", "--out", tmp_path / "f", "--json").json
    assert result["kept"] == 44
    other = vg("filter", detected, *chain, "--set", "random-matched.seed=6", "--out", tmp_path / "g", "--json").json
    assert other["kept"] == 44
    first, second = ({question.id for question in read(tmp_path / name / "kept", Question)} for name in "fg")
    assert first != second
    resolved = json.loads((tmp_path / "f" / "run.json").read_text())["resolved"]
    assert resolved["filters"][1]["seed"] == 5


def test_options_of_one_policy_need_no_name(detected: Path, vg: Vg, tmp_path: Path) -> None:
    for place, setting in enumerate(("m=1", "consensus.m=1", "filter.m=1")):
        result = vg("filter", detected, "--policy", "consensus", "--set", setting, "--out", tmp_path / str(place), "--json").json
        assert result["kept"] == 16  # prime to 30
        assert result["policy"] == "consensus"


def test_the_page_of_a_composed_filter_is_written(detected: Path, vg: Vg, tmp_path: Path) -> None:
    vg("filter", detected, "--policy", "consensus", "--policy", "balanced", "--out", tmp_path / "f")
    assert vg("report", tmp_path / "f").code == 0
    assert "answered blind by" in (tmp_path / "f" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--policy", "consensus", "--policy", "budget", "--set", "keep=3"],
            "--set 'keep=3': with several policies write POLICY.KEY=VALUE",
        ),
        (
            ["--policy", "consensus", "--policy", "consensus"],
            "the policy 'consensus' is named twice; run vg filter twice, or use one policy",
        ),
        (["--policy", "consensus", "--policy", "budgt"], "unknown filter 'budgt': did you mean 'budget'?"),
        (["--policy", "consensus", "--policy", "budget", "--set", "budget.kep=3"], "unknown option 'kep'; did you mean 'keep'?"),
        (["--policy", "random-matched"], "filter 'random-matched' has nothing to match"),
        (["--policy", "consensus", "--set", "m=4"], "m = 4, but there are verdicts of 3 detectors only"),
    ],
)
def test_wrong_usage_is_one_line(detected: Path, vg: Vg, tmp_path: Path, arguments: list[str], told: str) -> None:
    ran = vg("filter", detected, *arguments, "--out", tmp_path / "f")
    assert ran.code == 2
    assert told in ran.err
    assert len(ran.err.strip().splitlines()) <= 3


@pytest.mark.parametrize("way", ["flags", "file"])
def test_vg_run_takes_a_chain_too(detected: Path, vg: Vg, tmp_path: Path, way: str) -> None:
    """The same questions are kept as by `vg filter`, each drop signed, in run.json and in the flow of the page."""
    data = detected.parent
    recorded = ("--detector", "recorded", "--set", f"recorded.path={data / 'judged.jsonl'}", "--out", tmp_path / "r")
    if way == "flags":
        chain = ("--filter", "consensus", "--filter", "budget", "--set", "filter.budget.keep=30", "--set", "filter.consensus.m=2")
        command = ("run", "--dataset", data / "rows.jsonl", *recorded, *chain)
    else:
        (tmp_path / "run.yaml").write_text(f"dataset: {data / 'rows.jsonl'}\nfilter: [consensus, {{name: budget, keep: 30}}]\n")
        command = ("run", tmp_path / "run.yaml", *recorded)
    ran = vg(*command)
    assert ran.code == 0, ran.err
    result = vg(*command, "--json").json["filter"]
    assert [(step["name"], step["reached"], step["dropped"]) for step in result["policies"]] == [("consensus", 60, 16), ("budget", 44, 14)]
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert [policy["name"] for policy in record["resolved"]["filter"]] == ["consensus", "budget"]
    resolved = json.loads((tmp_path / "r" / "filter" / "run.json").read_text())["resolved"]
    assert [(one["name"], one.get("keep")) for one in resolved["filters"]] == [("consensus", None), ("budget", 30.0)]
    kept = {question.id for question in read(tmp_path / "r" / "filter" / "kept", Question)}
    alone = ("--policy", "consensus", "--policy", "budget", "--set", "budget.keep=30")
    assert vg("filter", detected, *alone, "--out", tmp_path / "f").code == 0
    assert kept == {question.id for question in read(tmp_path / "f" / "kept", Question)}
    page = (tmp_path / "r" / "report.html").read_text()
    assert all(reason in page for reason in result["reasons"])
    refused = vg(*command, "--seed", "1")
    assert "was made with other settings" in refused.err


def test_a_run_of_one_policy_made_before_chains_resumes(detected: Path, vg: Vg, tmp_path: Path) -> None:
    data = detected.parent
    recorded = ("--detector", "recorded", "--set", f"recorded.path={data / 'judged.jsonl'}")
    command = ("run", "--dataset", data / "rows.jsonl", *recorded, "--filter", "consensus", "--out", tmp_path / "r", "--json")
    first = vg(*command).json
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert record["resolved"]["filter"] == {"name": "consensus"}
    assert record["passed"]["filter"] == {"name": "consensus"}
    assert vg(*command).json["filter"] == first["filter"]


def test_an_audit_can_be_filtered_like_a_detection(detected: Path, vg: Vg, tmp_path: Path) -> None:
    data = detected.parent
    recorded = ("--detector", "recorded", "--set", f"recorded.path={data / 'judged.jsonl'}")
    assert vg("audit", data / "rows.jsonl", *recorded, "--out", tmp_path / "a").code == 0
    ran = vg("filter", tmp_path / "a", "--policy", "consensus", "--out", tmp_path / "f", "--json")
    assert (ran.code, ran.json["kept"]) == (0, 44), ran.err
    (tmp_path / "other.jsonl").write_text((data / "rows.jsonl").read_text())
    assert vg("audit", data / "rows.jsonl", tmp_path / "other.jsonl", *recorded, "--out", tmp_path / "both").code == 0
    refused = vg("filter", tmp_path / "both", "--out", tmp_path / "g")
    assert refused.code == 2
    assert f"name one of its data sets: {tmp_path / 'both' / 'rows.jsonl'}, {tmp_path / 'both' / 'other.jsonl'}" in refused.err
