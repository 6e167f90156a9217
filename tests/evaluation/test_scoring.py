import pytest

from vidground_core import Question
from vidground_core.evaluation.scoring import can_score, score


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


def test_free_form_answers_are_refused_not_scored_wrong() -> None:
    free = question("It is a cat", kind="free-form")
    assert not can_score(free)
    with pytest.raises(ValueError, match="question 'q': free-form answers cannot be scored by comparing texts"):
        score(free, "a cat")
