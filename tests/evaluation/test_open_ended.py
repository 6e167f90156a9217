from __future__ import annotations

import random

import jiwer
import pytest

from vidground_core.errors import ConfigError
from vidground_core.evaluation.open_ended import OPEN_KINDS, RULES, grade, number_in, rouge, score, video_r1_reward, word_error_rate

# kind, answer in its tag, reference, what the published rule gives; each line follows from the rule, by hand.
PUBLISHED = [
    ("multiple choice", "B", "B", 1),
    ("multiple choice", "b", "B", 0),
    ("multiple choice", "B.", "B", 0),
    ("numerical", "42", "42", 1),
    ("numerical", "42.0", "42", 0),
    ("numerical", "42.0", "42.00", 1),
    ("numerical", "1,000", "1000", 0),
    ("numerical", "1,000", "1000.0", 1),
    ("numerical", "3.141", "3.14", 1),
    ("numerical", "0.001", "0.004", 1),
    ("numerical", "42 cm", "42", 0),
    ("numerical", "forty-two", "42", 0),
    ("numerical", "", "42", 0),
    ("numerical", "nan", "nan", 0),
    ("numerical", "1,5", "15.0", 1),
    ("OCR", "stop here", "stop here", 1),
    ("OCR", "Stop here", "stop here", 0.5),
    ("OCR", "stop here now", "stop here", 0.5),
    ("OCR", "x y z w v", "stop here", 0),
    ("OCR", "stop  here", "stop here", 1),
    ("OCR", "stop", "", 0),
    ("OCR", "", "stop", 0),
    ("free-form", "a man walks", "a man walks", 1),
    # One word has no bigrams, and their F-measure is 0.
    ("free-form", "cat", "cat", 2 / 3),
    ("free-form", "the cats sat", "a cat sits", (1 / 3 + 0 + 1 / 3) / 3),
    ("free-form", "the man walks", "the man runs", (2 / 3 + 1 / 2 + 2 / 3) / 3),
    ("free-form", "猫", "猫", 0),
    ("free-form", "dog", "a cat", 0),
    ("regression", "90", "100", 0.9),
    ("regression", "250", "100", 0),
    ("regression", "100", "100", 1),
    ("regression", "many", "100", 0),
    ("regression", "nan", "100", 1),
    ("regression", "0", "0", 0),
    ("a kind of its own", "B", "B", 0),
]


@pytest.mark.parametrize(("kind", "answer", "gold", "reward"), PUBLISHED)
def test_video_r1_rewards_are_met_holes_and_all(kind: str, answer: str, gold: str, reward: float) -> None:
    assert video_r1_reward(kind, f"<think>why</think>\n<answer> {answer}\n</answer>", gold) == pytest.approx(reward, abs=1e-7)


def test_video_r1_reads_the_first_answer_and_nothing_else() -> None:
    assert video_r1_reward("numerical", "<answer>1</answer><answer>7</answer>", "1") == 1
    assert video_r1_reward("numerical", "<think><answer>1</answer></think><answer>7</answer>", "7") == 0
    assert video_r1_reward("numerical", "7", "7") == 0
    assert grade("numerical", "<answer>1</answer><answer>7</answer>", "1", "video-r1").right
    assert grade("numerical", "7", "7", "video-r1").outcome == "unparsed"


# kind, reply, reference, value and right by the strict rules.
STRICT = [
    *(
        ("numerical", reply, "7", 1, True)
        for reply in ("7", "7.0", "seven", "Seven.", "There are seven cats.", "7 cats", "<answer>7</answer>")
    ),
    *(
        ("numerical", reply, "7", 1, True)
        for reply in ("The answer is 7.", "2 + 5, so the answer is 7", r"$\boxed{7}$", "I would say 7", "答案是7")
    ),
    *(("numerical", reply, "7", 0, False) for reply in ("8", "-7", "1,007", "70", "seventy", "The answer is 8, 8.", "7.1")),
    ("numerical", "<think>8 or 9</think><answer>7</answer>", "7", 1, True),
    ("numerical", "I can't see the video, but my guess is 7.", "7", 1, True),
    ("numerical", "1,000", "1000", 1, True),
    ("numerical", "42 cm", "42", 1, True),
    ("numerical", "$42", "42", 1, True),
    ("numerical", "50%", "50", 1, True),
    ("numerical", "twenty-one", "21", 1, True),
    ("numerical", "1/2", "0.5", 1, True),
    ("numerical", r"\frac{1}{2}", "0.5", 1, True),
    ("numerical", "−3", "-3", 1, True),
    ("numerical", "0.001", "0.004", 0, False),
    ("numerical", "3.141", "3.14", 1, True),
    ("numerical", "3.2", "3.14", 0, False),
    ("numerical", "1e3", "1000", 1, True),
    ("numerical", "10:30", "10:30", 1, True),
    ("regression", "90", "100", 0.9, False),
    ("regression", "about 97 kg", "100", 0.97, True),
    ("regression", "300", "100", 0, False),
    ("regression", "0", "0", 1, True),
    ("regression", "1", "0", 0, False),
    ("OCR", "Exit only", "EXIT ONLY", 1, True),
    ("OCR", 'The answer is "EXIT ONLY".', "Exit Only", 1, True),
    ("OCR", "Exit lonely", "EXIT ONLY", 0.5, False),
    ("OCR", "entry", "EXIT ONLY", 0, False),
    ("OCR", "出口", "出口", 1, True),
    ("OCR", "出品", "出口", 0.5, False),
    ("OCR", "We cannot tell a lie", "We cannot tell a lie", 1, True),
    ("OCR", "Error: 404", "Error: 404", 1, True),
    ("free-form", "cat", "cat", 1, True),
    ("free-form", "It's a cat.", "a cat", 1, True),
    ("free-form", "猫。", "猫", 1, True),
    ("free-form", "two red balls", "2 red balls", 1, True),
    ("free-form", "three red balls", "2 red balls", 0, False),
    ("free-form", "The man is not walking", "the man is walking", 0, False),
    ("free-form", "the man isn't walking", "the man is walking", 0, False),
    ("free-form", "dog", "a cat", 0, False),
]


@pytest.mark.parametrize(("kind", "reply", "gold", "value", "right"), STRICT)
def test_the_strict_rules_close_the_holes(kind: str, reply: str, gold: str, value: float, right: bool) -> None:
    found = grade(kind, reply, gold)
    assert (found.outcome, found.right) == ("scored", right)
    assert found.value == pytest.approx(value)
    assert score(kind, reply, gold, "strict") == found.value


def test_free_form_is_right_where_all_of_the_reference_is_said_and_little_else() -> None:
    said = grade("free-form", "A man in a red shirt walks down the street", "a man walks down the street")
    assert said.right
    assert said.value is not None
    assert 0.6 < said.value < 1
    missed = grade("free-form", "The ball falls to the left", "The ball falls to the right")
    assert missed.right is False
    echoed = grade("free-form", "a cat a dog a cow a horse a goat a hen a duck", "a cat")
    assert echoed.right is False
    # Video-R1's threshold takes left for right.
    assert grade("free-form", "<answer>The ball falls to the left</answer>", "The ball falls to the right", "video-r1").right


# No score: nothing that is a refusal, an outage or unreadable is right or wrong, by either rules.
UNSCORED = [
    ("", "unparsed"),
    ("<think>7", "unparsed"),
    ("<answer></answer>", "unparsed"),
    ("I cannot determine this without the video.", "refused"),
    ("<answer>Cannot be determined</answer>", "refused"),
    ("无法确定", "refused"),
    ("Failed to obtain answer via API.", "failed"),
    ("Error code: 500", "failed"),
    ("HTTP 503", "failed"),
]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("kind", OPEN_KINDS)
@pytest.mark.parametrize(("reply", "outcome"), UNSCORED)
def test_what_is_no_answer_has_no_score(reply: str, outcome: str, kind: str, rules: str) -> None:
    found = grade(kind, reply, "7", rules)
    assert (found.outcome, found.value, found.right) == (outcome, None, None)
    assert score(kind, reply, "7", rules) is None


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("numerical", "many"),
        ("numerical", "7 or 8"),
        ("numerical", "3,14"),
        ("numerical", "nan"),
        ("numerical", "inf"),
        ("numerical", "1/0"),
        ("numerical", "one of them"),
        ("numerical", "no one"),
        ("numerical", "H2O"),
        ("numerical", "<answer>7</answer><answer>8</answer>"),
        ("numerical", "The answer is 7. The answer is 8."),
        ("regression", "nan"),
        ("regression", "between 3 and 4"),
        ("OCR", "..."),
        ("free-form", "a cat or a dog"),
        ("free-form", "<answer>cat</answer><answer>dog</answer>"),
    ],
)
def test_several_answers_are_none(kind: str, reply: str) -> None:
    assert grade(kind, reply, "7").outcome == "unparsed"


def test_numbers_are_read_where_there_is_one() -> None:
    read = {
        "1,234.5": 1234.5,
        ".5": 0.5,
        "5.": 5,
        "x=12": 12,
        "12:": 12,
        "7, 7": 7,
        "forty two": 42,
        "-2/4": -0.5,
        "5.0.1": None,
        "3-4": None,
    }
    assert {text: number_in(text) for text in read} == read


def test_word_errors_are_jiwers_and_defined_without_a_reference() -> None:
    draw = random.Random(0)
    for _ in range(50):
        given, wanted = (" ".join(draw.choices("abcd", k=draw.randint(1, 8))) for _ in range(2))
        assert word_error_rate(given, wanted) == pytest.approx(jiwer.wer(wanted, given))
    assert word_error_rate("", "a b") == 1
    assert word_error_rate("a b", "") == 2


def test_rouge_stems_words() -> None:
    assert rouge("cats walking", "cat walks") == pytest.approx(1)


def test_unknown_rules_and_kinds_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown rules 'strikt' for open-ended answers; .*strict"):
        grade("OCR", "a", "a", "strikt")
    with pytest.raises(ValueError, match=r"'multiple choice' is not an open-ended kind \(numerical, OCR, free-form, regression\)"):
        grade("multiple choice", "A", "A")
