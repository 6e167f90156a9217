import pytest

from vidground_core import Question
from vidground_core.evaluation.scoring import can_score, score, score_with_value


def question(answer: str, *, kind: str = "multiple choice", options: tuple[str, ...] = ()) -> Question:
    return Question("q", "How many?", answer, options=options, kind=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("B", "correct"), ("A", "wrong"), ("no", "correct"), ("A or B", "unparsed"), ("I cannot tell without the video", "refused")],
)
def test_choices_are_scored_by_the_extractor(text: str, outcome: str) -> None:
    assert score(question("no", options=("yes", "no")), text) == outcome


def test_a_letter_is_scored_in_the_order_shown() -> None:
    assert score(question("no", options=("yes", "no")), "A", (1, 0)) == "correct"


def test_an_outage_message_is_a_failure() -> None:
    assert score(question("no", options=("yes", "no")), "Failed to obtain answer via API.") == "failed"
    assert score(question("7", kind="numerical"), "Error code: 500") == "failed"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("7", "correct"),
        ("7.0", "correct"),
        ("There are 7 cats.", "correct"),
        ("3 + 4, so the answer is 7", "correct"),
        ("<answer>7</answer>", "correct"),
        (r"2 and 5 make \boxed{7}", "correct"),
        ("-7", "wrong"),
        ("1,007", "wrong"),
        ("7 or 8", "unparsed"),
        ("many", "unparsed"),
        ("I can't determine that.", "refused"),
    ],
)
def test_numbers_are_compared_by_value(text: str, outcome: str) -> None:
    assert score(question("7", kind="numerical"), text) == outcome


@pytest.mark.parametrize(
    ("text", "outcome"), [("exit  only", "correct"), ("The answer is: EXIT ONLY.", "correct"), ("entry", "wrong"), ("", "unparsed")]
)
def test_read_text_is_compared_without_case_and_marks(text: str, outcome: str) -> None:
    assert score(question("Exit Only", kind="OCR"), text) == outcome


def test_open_ended_answers_have_a_value_beside_the_outcome() -> None:
    free = question("It is a black cat", kind="free-form")
    assert score_with_value(free, "a black cat") == ("correct", 1.0)
    outcome, value = score_with_value(free, "a black dog")
    assert (outcome, value) == ("wrong", pytest.approx(0.5, abs=0.2))
    assert score_with_value(free, "I cannot see the video.") == ("refused", None)
    assert score_with_value(question("no", options=("yes", "no")), "B") == ("correct", None)


def test_the_published_rules_can_be_chosen() -> None:
    number = question("1000", kind="numerical")
    assert score(number, "<answer>1,000</answer>") == "correct"
    assert score(number, "<answer>1,000</answer>", rules="video-r1") == "wrong"


def test_multiple_choice_without_options_cannot_be_scored() -> None:
    bare = question("A dog.")
    assert not can_score(bare)
    with pytest.raises(ValueError, match="question 'q': multiple choice without options cannot be scored"):
        score(bare, "a dog")
