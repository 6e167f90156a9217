"""Iterative bias pruning: batches, floors, ties, resume, and what it finds where the truth is known."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from vidground_core import ConfigError, Question, Verdict
from vidground_core.config import build
from vidground_core.datasets.planted.loader import PlantedConfig, PlantedLoader
from vidground_core.detectors.bias_pruning import BiasPruning, BiasPruningConfig
from vidground_core.filters.iterative_pruning import IterativePruning, IterativePruningConfig
from vidground_core.testing import DetectorContract, MemoryStages, run_detector

OPTIONS = ("alpha", "beta", "gamma", "delta")


class TestBiasPruning(DetectorContract):
    component = BiasPruning
    options = {"batch": 4}  # noqa: RUF012


class Dying(MemoryStages):
    """Ends the run when so many stages have been put."""

    def __init__(self, dies: int) -> None:
        super().__init__()
        self.dies = dies
        self.written: list[str] = []

    def put(self, name: str, value: Any) -> None:
        super().put(name, value)
        self.written.append(name)
        if len(self.written) == self.dies:
            raise KeyboardInterrupt


def pruned(questions: Sequence[Question], stages: MemoryStages | None = None, **options: Any) -> list[Verdict]:
    return run_detector(BiasPruning(build(BiasPruningConfig, options, "bias-pruning")), questions, None, stages)  # type: ignore[arg-type]


def sizes(verdicts: Sequence[Verdict]) -> list[int]:
    """Questions of round 0 (never pruned), 1, 2, …"""
    rounds = [int(verdict.scores["round"]) for verdict in verdicts if verdict.scores]
    return [rounds.count(number) for number in range(max(rounds) + 1)]


def leaky(leaking: int, sound: int) -> list[Question]:
    """`leaking` questions whose answer is always the same text, after `sound` ones that nothing tells."""
    draw = random.Random(0)
    rows = [Question(f"s{n:03}", "what is it?", draw.choice(OPTIONS), OPTIONS, group=f"s{n}") for n in range(sound)]
    return rows + [
        Question(f"l{n:03}", "who won?", "the red team", ("blue", "green", "the red team"), group=f"l{n}") for n in range(leaking)
    ]


def planted(videos: int, **options: Any) -> list[Question]:
    loader = PlantedLoader(build(PlantedConfig, options, "planted"))
    return [question for number in range(videos) for question in loader.video(number)[1]]


def test_what_leaks_goes_first_in_whole_batches() -> None:
    questions = leaky(40, 80)
    verdicts = pruned(questions, batch=10, rounds=3)
    assert sizes(verdicts) == [90, 10, 10, 10]
    assert all(verdict.question.startswith("l") for verdict in verdicts if verdict.scores["round"])
    assert all(verdict.answered == (verdict.scores["round"] > 0) for verdict in verdicts)
    assert all(verdict.scores["margin"] == pytest.approx(verdict.scores["p_gold"] - verdict.scores["chance"]) for verdict in verdicts)


def test_equal_questions_go_by_id_in_any_order() -> None:
    questions = leaky(30, 0)
    scores = {verdict.question: verdict.scores["p_gold"] for verdict in pruned(questions, floor=30, folds=2)}
    assert len(set(scores.values())) <= 2  # one value a fold: the texts are all the same
    expected = set(sorted(scores, key=lambda name: (-scores[name], name))[:7])
    for rows in (questions, questions[::-1]):
        assert {verdict.question for verdict in pruned(rows, batch=7, rounds=1, folds=2) if verdict.answered} == expected


@pytest.mark.parametrize(
    ("options", "left", "batches"),
    [({"floor": 105, "batch": 10}, 105, [10, 5]), ({"floor": 0.9, "batch": 0.05}, 108, [6, 6]), ({"floor": 120}, 120, [])],
)
def test_the_floor_is_kept(options: dict[str, float], left: int, batches: list[int]) -> None:
    assert sizes(pruned(leaky(40, 80), **options)) == [left, *batches]


def test_pruning_stops_where_the_text_tells_no_more_than_chance() -> None:
    verdicts = pruned(leaky(40, 80), batch=10)
    assert 70 <= sizes(verdicts)[0] <= 90
    line = verdicts[0].evidence[1]
    assert "on what is left" in line
    before, rest, chosen, chance = (float(word.rstrip("%")) for word in line.replace(",", "").split() if word.endswith("%"))
    assert rest <= chance + 3 < before
    assert chosen > rest + 10
    assert sizes(pruned(leaky(40, 80), batch=10, gain=1)) == [120]


def test_every_round_is_refitted_without_what_went() -> None:
    questions = leaky(20, 80)
    verdicts = pruned(questions, batch=20, rounds=1)
    rest = [question for question, verdict in zip(questions, verdicts, strict=True) if not verdict.answered]
    again = {verdict.question: verdict for verdict in pruned(rest, floor=len(rest))}
    kept = [verdict for verdict in verdicts if not verdict.answered]
    # Features stay those of the whole set, so the fit on the rest alone is near and not equal.
    assert [verdict.scores["p_gold"] for verdict in kept] == pytest.approx([again[v.question].scores["p_gold"] for v in kept], abs=0.05)


def test_an_interrupted_run_goes_on_from_the_finished_rounds() -> None:
    questions = leaky(40, 80)
    unbroken = Dying(1_000)
    verdicts = pruned(questions, unbroken, batch=10, rounds=3)
    assert unbroken.written == ["round-1", "round-2", "round-3", "rest", "random"]
    for dies in range(1, 6):
        stages = Dying(dies)
        with pytest.raises(KeyboardInterrupt):
            pruned(questions, stages, batch=10, rounds=3)
        assert pruned(questions, stages, batch=10, rounds=3) == verdicts
        assert stages.written == unbroken.written


def test_open_ended_questions_and_single_options_have_no_round() -> None:
    odd = [Question("n", "how many?", "3", kind="numerical"), Question("one", "is it?", "yes", ("yes",), group="x")]
    verdicts = pruned([*odd, *leaky(20, 40)], rounds=1)
    assert [verdict.evidence for verdict in verdicts[:2]] == [
        ("no options: pruning judges questions with options only",),
        ("there is one option only",),
    ]
    assert all(verdict.answered is None and not verdict.scores for verdict in verdicts[:2])
    assert sizes(verdicts)[1] > 0
    alone = pruned([replace(question, group="g") for question in leaky(3, 3)])
    assert {verdict.evidence for verdict in alone} == {("no other video left has a question to learn from",)}
    assert pruned([]) == []


def test_the_filter_cuts_its_rounds() -> None:
    questions = planted(150)
    verdicts = pruned(questions, batch=20)
    rows = [(question, {"bias-pruning": verdict}) for question, verdict in zip(questions, verdicts, strict=True)]
    one = list(IterativePruning(IterativePruningConfig(rounds=1)).decide(lambda: iter(rows)))
    dropped = [question for question, decision in zip(questions, one, strict=True) if not decision.kept]
    assert len(dropped) == 20
    assert sum(question.tags["label"] == "ta" for question in dropped) >= 17
    assert {decision.reason for decision in one} >= {"pruned in round 1 to 1", "kept"}


def test_planted_shortcuts_go_before_grounded_questions() -> None:
    questions = planted(300)
    verdicts = pruned(questions)
    gone = [question.tags["label"] for question, verdict in zip(questions, verdicts, strict=True) if verdict.answered]
    early = [question.tags["label"] for question, verdict in zip(questions, verdicts, strict=True) if verdict.scores["round"] in (1, 2)]
    assert len(early) == 100
    assert early.count("ta") >= 93
    assert gone.count("ta") / len(gone) > 0.8


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="bias-pruning: batch = 0: Input should be greater than 0"):
        build(BiasPruningConfig, {"batch": 0}, "bias-pruning")


def test_the_module_imports_no_scikit_learn() -> None:
    code = "import sys, vidground_core.detectors.bias_pruning; print({'sklearn', 'numpy', 'scipy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
