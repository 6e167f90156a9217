"""Iterative bias pruning as a user runs it: `vg detect` writes the rounds, `vg filter` cuts by them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Decision, Question, Verdict
from vidground_core.tables import read

Vg = Callable[..., Any]
OPTIONS = ["alpha", "beta", "gamma", "delta"]
LEAKING, SOUND, BATCH, ROUNDS = 40, 80, 10, 3


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detection of questions of which a third always have the same text as their answer."""
    from tests.conftest import run_vg  # type: ignore[import-not-found]

    folder, draw = tmp_path_factory.mktemp("pruning"), random.Random(0)
    sound = [{"id": f"s{n:02}", "question": "what is it?", "options": OPTIONS, "answer": draw.choice(OPTIONS)} for n in range(SOUND)]
    team = {"question": "who won?", "options": ["blue", "green", "the red team"], "answer": "the red team"}
    rows = [{**row, "group": row["id"]} for row in [*sound, *({"id": f"l{n:02}", **team} for n in range(LEAKING))]]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = (f"bias-pruning.batch={BATCH}", f"bias-pruning.rounds={ROUNDS}")
    sets = [word for option in options for word in ("--set", option)]
    ran = run_vg("detect", folder / "rows.jsonl", "--detector", "bias-pruning", *sets, "--out", folder / "d")
    assert ran.code == 0, ran.err
    return folder / "d"


def test_the_rounds_are_in_the_verdicts(pruned: Path) -> None:
    rounds = {verdict.question: verdict.scores["round"] for verdict in read(pruned / "verdicts" / "bias-pruning", Verdict)}
    assert sorted(rounds.values()) == [0.0] * (LEAKING + SOUND - BATCH * ROUNDS) + [1.0] * BATCH + [2.0] * BATCH + [3.0] * BATCH
    assert all(question.startswith("l") for question, number in rounds.items() if number)


@pytest.mark.parametrize(("settings", "cut"), [((), 3), (("rounds=2",), 2), (("keep=95",), 2), (("rounds=0",), 0)])
def test_the_filter_cuts_by_rounds(pruned: Path, vg: Vg, tmp_path: Path, settings: tuple[str, ...], cut: int) -> None:
    sets = [word for setting in settings for word in ("--set", setting)]
    result = vg("filter", pruned, "--policy", "iterative-pruning", *sets, "--out", tmp_path / "f", "--json").json
    assert (result["kept"], result["dropped"]) == (LEAKING + SOUND - BATCH * cut, BATCH * cut)
    dropped = {question.id for question in read(tmp_path / "f" / "dropped", Question)}
    rounds = {verdict.question: verdict.scores["round"] for verdict in read(tmp_path / "f" / "verdicts" / "bias-pruning", Verdict)}
    assert dropped == {question for question, number in rounds.items() if 0 < number <= cut}
    for decision in read(tmp_path / "f" / "decisions", Decision):
        if not decision.kept:
            assert (decision.reason, decision.numbers["round"]) == (f"pruned in round 1 to {cut}", rounds[decision.question])


def test_what_was_pruned_is_not_counted_as_luck(pruned: Path, vg: Vg, tmp_path: Path) -> None:
    ran = vg("filter", pruned, "--policy", "iterative-pruning", "--out", tmp_path / "f")
    assert ran.code == 0, ran.err
    assert f"iterative-pruning 1: kept {LEAKING + SOUND - BATCH * ROUNDS} of {LEAKING + SOUND}" in ran.out
    assert "VG questions probably dropped by luck: –" in ran.out


def test_pruning_and_a_budget_are_one_chain(pruned: Path, vg: Vg, tmp_path: Path) -> None:
    chain = ("--policy", "iterative-pruning", "--policy", "budget", "--set", "iterative-pruning.rounds=2", "--set", "budget.keep=50")
    result = vg("filter", pruned, *chain, "--out", tmp_path / "f", "--json").json
    steps = [(step["name"], step["reached"], step["dropped"]) for step in result["policies"]]
    assert steps == [("iterative-pruning", LEAKING + SOUND, 2 * BATCH), ("budget", 100, 50)]
    page = vg("report", tmp_path / "f", "--json").json["report"]
    assert "pruned in round 1 to 2" in Path(page).read_text()
