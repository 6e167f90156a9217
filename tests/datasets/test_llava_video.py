"""LLaVA-Video: several turns a row, options inside the text, answers in several forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.datasets.llava_video import LLaVAVideoLoader

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


LETTER = "\nPlease respond with only the letter of the correct answer."
FULL = "\nPlease provide your answer by stating the letter followed by the full option."
SHORT = "\nAnswer the question using a single word or phrase."
OPTIONS = "\nA. A tattoo\nB. A watch\nC. A scar"


def row(*turns: str, **changes: Any) -> dict[str, Any]:
    """A row whose turns go human, gpt, human, …"""
    said = [{"from": ("human", "gpt")[place % 2], "value": value} for place, value in enumerate(turns)]
    return {"id": "101-split_2", "conversations": said, "data_source": "0_30_s_academic_v0_1", "video": "academic_source/x.mp4", **changes}


def test_each_pair_of_turns_is_a_question(load: Load, write: Write, tmp_path: Path) -> None:
    content = [row("<image>\nWhat is seen?" + OPTIONS + LETTER, "A.", "And then?" + OPTIONS + FULL, "B. A watch.", "Why?", "Because.")]
    path = write("0_30_s_academic_v0_1_mc_qa_processed.json", content)
    questions, aside = load(LLaVAVideoLoader, path)
    assert aside == []
    assert [(each.id, each.text, each.answer, each.kind) for each in questions] == [
        ("101-split_2", "What is seen?", "A tattoo", "multiple choice"),
        ("101-split_2-1", "And then?", "A watch", "multiple choice"),
        ("101-split_2-2", "Why?", "Because.", "free-form"),
    ]
    assert questions[0].options == ("A tattoo", "A watch", "A scar")
    assert {(each.group, each.source) for each in questions} == {("academic_source/x.mp4", "0_30_s_academic_v0_1")}
    assert questions[0].media[0].path == str(tmp_path / "academic_source" / "x.mp4")
    assert LLaVAVideoLoader.recognises(path)


@pytest.mark.parametrize(
    ("turn", "answer", "text", "gold"),
    [
        ("<video>\nWhat?\nOptions:\n(A) x\n(B) y" + LETTER, "(B)", "What?", "y"),
        ("Question: What?\nOptions:\n(A) x\n(B) y", "B", "What?", "y"),
        ("Choose one. Options:\nA. x\nB. y" + FULL, "A. x", "Choose one.", "x"),
        ("What?\nA. x\nB. y\n<image>", "y", "What?", "y"),
        ("How many?" + SHORT, "three", "How many?", "three"),
        ("Is <image> a tag? Say why.", "no", "Is <image> a tag? Say why.", "no"),
    ],
)
def test_the_turn_is_taken_apart(load: Load, write: Write, turn: str, answer: str, text: str, gold: str) -> None:
    (question,), _ = load(LLaVAVideoLoader, write("a.json", [row(turn, answer)]))
    assert (question.text, question.answer) == (text, gold)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (("What?" + LETTER, "A"), "asks for an option's letter and holds no options A, B, …: 'What?'"),
        (("What?" + OPTIONS + LETTER, "E"), "the answer's letter 'E' is none of the options' letters A, B, C"),
        (("What?" + OPTIONS + LETTER, "B. A tattoo"), "the answer 'B. A tattoo' does not match the text of option B, 'A watch'"),
        (
            ("What?" + OPTIONS + LETTER, "none"),
            "the answer 'none' is neither a letter nor one of the options ['A tattoo', 'A watch', 'A scar']",
        ),
        (("What?",), "turns 1 and 2 are from 'human', where human and gpt are expected"),
        (("", "x"), "the question's turn is empty"),
        (("What?", ""), "the answer's turn is empty"),
    ],
)
def test_a_turn_that_cannot_be_read_is_set_aside(load: Load, write: Write, turns: tuple[str, ...], reason: str) -> None:
    path = write("a.json", [row("Why?", "So.", id="good"), row(*turns)])
    (question,), (aside,) = load(LLaVAVideoLoader, path)
    assert question.id == "good"
    assert (aside.file, aside.reason) == (str(path), reason)
    assert path.read_text().splitlines()[aside.line - 1] == " {"


def test_a_bad_turn_leaves_the_others(load: Load, write: Write) -> None:
    questions, (aside,) = load(LLaVAVideoLoader, write("a.json", [row("What?" + LETTER, "A", "Why?", "So.")]))
    assert ([each.id for each in questions], aside.id) == (["101-split_2-1"], "101-split_2")


def test_rows_with_the_same_id_stay_apart(load: Load, write: Write) -> None:
    questions, _ = load(LLaVAVideoLoader, write("a.json", [row("Why?", "So."), row("How?", "Thus.", "Why?", "So.")]))
    assert [each.id for each in questions] == ["101-split_2", "101-split_2#2", "101-split_2#2-1"]


def test_a_folder_is_read_without_captions(load: Load, write: Write, tmp_path: Path) -> None:
    write("x/x_oe_qa_processed.json", [row("Why?", "So.")])
    write("x/x_cap_processed.json", [row("Describe it.", "A man walks.")])
    assert [each.text for each in load(LLaVAVideoLoader, tmp_path)[0]] == ["Why?"]
    assert len(load(LLaVAVideoLoader, tmp_path, captions=True)[0]) == 2
