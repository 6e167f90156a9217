from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vidground_trl.rewards import (
    REWARDS,
    RewardRow,
    accuracy,
    format_reward,
    option_letter,
    option_text,
    row_of,
    strict,
    unrewardable,
    video_r1,
    well_formed,
)

from vidground_core.evaluation.open_ended import OPEN_KINDS

from .conftest import question

OPTIONS = ("red", "dark green", "blue")


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("dark green", 1),
        ("Dark  Green", 1),
        (" dark green. ", 1),
        ("dark green red", 0),
        ("dark green or red", 0),
        ("green", 0),
        ("B", 0),
        ("", 0),
        ("   ", 0),
        (".", 0),
        ("dark green dark green", 0),
    ],
)
def test_option_text(answer: str, reward: float) -> None:
    assert option_text(answer, "dark green", OPTIONS) == reward
    given = accuracy(answer, kind="multiple choice", gold="dark green", options=OPTIONS, rule="option-text", answer_format="plain")
    assert given == reward


@pytest.mark.parametrize(
    ("answer", "reward"),
    [("B", 1), ("B.", 1), ("(B)", 1), (" B ", 1), ("b", 0), ("A", 0), ("A or B", 0), ("A, B", 0), ("BB", 0), ("B dark green", 0), ("", 0)],
)
def test_option_letter(answer: str, reward: float) -> None:
    assert option_letter(answer, "dark green", OPTIONS) == reward


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("<think>it is green</think><answer>B</answer>", 1),
        ("<think>\nwhy\n</think>\n\n<answer>\nB\n</answer>\n", 1),
        ("<answer>B</answer>", 1),
        ("B", 0),
        ("<think>B</think>", 0),
        ("<answer></answer>", 0),
        ("<answer>B</answer><answer>B</answer>", 0),
        ("<answer>A</answer><answer>B</answer>", 0),
        ("<answer>A or B</answer>", 0),
        ("</think><answer>B</answer>", 0),
        ("<think>a</think><think>b</think><answer>B</answer>", 0),
        ("<answer>B</answer><think>a</think>", 0),
    ],
)
def test_letters_in_answer_tags(completion: str, reward: float) -> None:
    values = {"kind": "multiple choice", "gold": "dark green", "options": OPTIONS, "rule": "letter", "answer_format": "think"}
    assert accuracy(completion, **values) == reward  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("<think>a</think><answer>b</answer>", 1),
        ("<think>a</think>\n <answer>b</answer>\n", 1),
        ("<think>a\nb</think><answer>c\nd</answer>", 1),
        ("<think>a</think><answer> </answer>", 0),
        ("so <think>a</think><answer>b</answer>", 0),
        ("<think>a</think><answer>b</answer> done", 0),
        ("<think>a</think> then <answer>b</answer>", 0),
        ("<answer>b</answer><think>a</think>", 0),
        ("<think>a<think>b</think><answer>c</answer>", 0),
        ("<think>a</think><answer>b</answer><think>a</think><answer>b</answer>", 0),
        ("", 0),
    ],
)
def test_well_formed(completion: str, reward: float) -> None:
    assert well_formed(completion) == reward


@pytest.mark.parametrize(
    ("kind", "answer", "gold", "reward"),
    [
        ("numerical", "1,000", "1000", 1.0),
        ("numerical", "3.141", "3.14", 1.0),
        ("numerical", "3.2", "3.14", 0.0),
        ("numerical", "42 cm", "42", 1.0),
        ("numerical", "3 or 4", "3", 0.0),
        ("numerical", "many", "3", 0.0),
        ("regression", "90", "100", 0.9),
        ("regression", "300", "100", 0.0),
        ("regression", "many", "100", 0.0),
        ("regression", "0", "0", 1.0),
        ("regression", "1", "0", 0.0),
        ("OCR", "stop here now", "stop here", 0.5),
        ("OCR", "STOP here!", "stop here", 1.0),
        ("OCR", "a b c", "a x c", 2 / 3),
        ("OCR", "b c", "a b c", 2 / 3),
        ("OCR", "x y z w", "a b", 0.0),
        ("free-form", "a man walks", "a man walks", 1.0),
        ("free-form", "cats", "a man walks", 0.0),
        # Without the article and stemmed: unigrams 2 of 3 each, bigrams 1 of 2 each, longest common subsequence 2.
        ("free-form", "the man walks slowly", "a man walked quickly", (2 / 3 + 1 / 2 + 2 / 3) / 3),
        ("free-form", "猫", "猫", 1.0),
        ("free-form", "not a cat", "a cat", 0.0),
        ("free-form", "a cat or a dog", "a cat", 0.0),
        ("free-form", "I cannot tell without the video", "a cat", 0.0),
    ],
)
def test_each_kind_has_its_own_rule(kind: str, answer: str, gold: str, reward: float) -> None:
    values = {"kind": kind, "gold": gold, "options": (), "rule": "letter"}
    assert accuracy(answer, **values, answer_format="plain") == pytest.approx(reward)  # type: ignore[arg-type]
    assert accuracy(f"<answer>{answer}</answer>", **values, answer_format="think") == pytest.approx(reward)  # type: ignore[arg-type]
    assert accuracy("", **values, answer_format="plain") == 0  # type: ignore[arg-type]


ATTACKS = [json.loads(line) for line in (Path(__file__).parent / "reward_hacking.jsonl").read_text(encoding="utf-8").splitlines()]


def attacked(attack: dict[str, Any]) -> RewardRow:
    options = OPTIONS if attack["kind"] == "multiple choice" else ()
    return RewardRow("q", "?", attack["kind"], attack.get("gold", "dark green"), options, attack.get("accuracy", "letter"), "think")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack['kind']}: {attack['attack']}")
def test_what_each_reward_gives_to_an_attack(attack: dict[str, Any]) -> None:
    given = {name: reward(attack["completion"], attacked(attack)) for name, reward in REWARDS.items()}
    assert given == pytest.approx({"strict": attack["strict"], "video-r1": attack["video-r1"]}, abs=1e-4)
    assert attack.get("honest") or given["strict"] == 0


def test_the_attacks_named_most_often_are_tried_and_every_kind_is() -> None:
    named = {(attack["kind"], attack["attack"]) for attack in ATTACKS}
    for attack in ("empty answer", "A or B or C", "all options listed", "answer only in <think>", "the same answer several times"):
        assert ("multiple choice", attack) in named
    for kind in OPEN_KINDS:
        assert any(attack.get("honest") for attack in ATTACKS if attack["kind"] == kind)
        assert any(attack["strict"] == 0 for attack in ATTACKS if attack["kind"] == kind)


def test_rows_of_one_batch_are_judged_by_their_own_kinds() -> None:
    columns = {
        "id": ["a", "b", "c"],
        "text": ["?"] * 3,
        "kind": ["numerical", "multiple choice", "free-form"],
        "gold": ["3", "blue", "a man walks"],
        "options": [[], list(OPTIONS), []],
    }
    rows = [row_of(columns, place, accuracy="letter", answer_format="think") for place in range(3)]
    completions = ["<answer>three</answer>", "<answer>C</answer>", "<answer>A man walks.</answer>"]
    assert [strict(text, row) for text, row in zip(completions, rows, strict=True)] == [1, 1, 1]
    assert [strict(text, rows[0]) for text in completions] == [1, 0, 0]
    assert video_r1("<answer>C</answer>", rows[1]) == 1


def test_the_published_format_reward_is_passed_by_repeated_tags_and_empty_answers() -> None:
    twice = "<think>a</think><answer>B</answer><think>b</think><answer>A</answer>"
    assert (format_reward("video-r1")(twice), format_reward("strict")(twice), format_reward("mine:reward")(twice)) == (1, 0, 0)
    empty = "<think>a</think><answer></answer>"
    assert (format_reward("video-r1")(empty), format_reward("strict")(empty)) == (1, 0)


@pytest.mark.parametrize(
    ("changes", "accuracy", "reason"),
    [
        ({}, "letter", ""),
        ({"options": (), "kind": "numerical", "answer": "3"}, "letter", ""),
        ({"options": ()}, "letter", "it has neither options nor an open-ended kind"),
        ({"options": ()}, "option-text", ""),
        ({"answer": "mauve"}, "letter", "its answer 'mauve' is none of its options"),
        ({"options": tuple("abcdefghijklmnopqrstuvwxyz1"), "answer": "1"}, "option-text", ""),
        (
            {"options": tuple("abcdefghijklmnopqrstuvwxyz1"), "answer": "1"},
            "letter",
            "it has 27 options, more than there are letters; set accuracy to option-text",
        ),
    ],
)
def test_rows_that_nothing_could_earn_a_reward_for(changes: dict[str, Any], accuracy: str, reason: str) -> None:
    assert unrewardable(question(0, **changes), accuracy) == reason


def test_rewards_need_no_model_library() -> None:
    code = "import sys, vidground_trl.rewards; print([n for n in ('torch', 'trl', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
