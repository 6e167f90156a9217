from __future__ import annotations

import subprocess
import sys

import pytest
from vidground_trl.rewards import accuracy, free_form, number, ocr, option_letter, option_text, regression, well_formed

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
        ("<think>a\nb</think><answer></answer>", 1),
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
    ("text", "value"),
    [
        *(("1,000", 1000), ("1000.00", 1000), ("-3.5", -3.5), (" 42 ", 42), (".5", 0.5), ("50%", 50), ("+2", 2)),
        *(("", None), ("-", None), ("42 cats", None), ("1,00", None), ("3 or 4", None), ("nan", None), ("%", None), (".", None)),
    ],
)
def test_number(text: str, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("kind", "answer", "gold", "reward"),
    [
        ("numerical", "1,000", "1000", 1.0),
        ("numerical", "3.141", "3.14", 1.0),
        ("numerical", "3.2", "3.14", 0.0),
        ("numerical", "about 3", "3", 0.0),
        ("regression", "90", "100", 0.9),
        ("regression", "300", "100", 0.0),
        ("regression", "many", "100", 0.0),
        ("OCR", "stop here now", "stop here", 0.5),
        ("OCR", "stop here", "stop here", 1.0),
        ("free-form", "a man walks", "a man walks", 1.0),
        ("free-form", "cats", "a man walks", 0.0),
    ],
)
def test_each_kind_has_its_own_rule(kind: str, answer: str, gold: str, reward: float) -> None:
    values = {"kind": kind, "gold": gold, "options": (), "rule": "letter"}
    assert accuracy(answer, **values, answer_format="plain") == pytest.approx(reward)  # type: ignore[arg-type]
    assert accuracy(f"<answer>{answer}</answer>", **values, answer_format="think") == pytest.approx(reward)  # type: ignore[arg-type]
    assert accuracy("", **values, answer_format="plain") == 0  # type: ignore[arg-type]


def test_ocr_counts_word_edits() -> None:
    assert ocr("a b c", "a x c") == pytest.approx(2 / 3)
    assert ocr("b c", "a b c") == pytest.approx(2 / 3)
    assert ocr("x y z w", "a b") == 0


def test_free_form_is_the_mean_of_three_rouge_f_measures() -> None:
    # Without the article and stemmed: unigrams 2 of 3 each, bigrams 1 of 2 each, longest common subsequence 2.
    assert free_form("the man walks slowly", "a man walked quickly") == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)


@pytest.mark.parametrize(("answer", "reward"), [("猫", 1), ("not a cat", 0), ("a cat or a dog", 0), ("I cannot tell without the video", 0)])
def test_free_form_in_any_script_and_without_hedging(answer: str, reward: float) -> None:
    assert free_form(answer, "猫" if answer == "猫" else "a cat") == reward


def test_regression_around_zero() -> None:
    assert regression("0", "0") == 1
    assert regression("1", "0") == 0


def test_rewards_need_no_model_library() -> None:
    code = "import sys, vidground_trl.rewards; print([n for n in ('torch', 'trl', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
