"""Letters come off options, and answers name them without a guess."""

from __future__ import annotations

import pytest

from vidground_core.datasets.file_loader import BadRow
from vidground_core.datasets.identifiers import UniqueIds
from vidground_core.datasets.lettering import LETTERS, split_letter, without_letters
from vidground_core.datasets.open_answers import open_kind


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["A. a dog", "B. a cat"], ["a dog", "a cat"]),
        (["A.a dog", " B) a cat"], ["a dog", "a cat"]),
        (["(A) a dog", "(B) a cat"], ["a dog", "a cat"]),
        (["A: a dog", "B: a cat"], ["a dog", "a cat"]),
        (["B. a dog", "A. a cat"], ["a dog", "a cat"]),
        (["A. Lincoln", "J. Adams"], ["A. Lincoln", "J. Adams"]),
        (["A. Lincoln", "Washington"], ["A. Lincoln", "Washington"]),
        (["a dog", "a cat"], ["a dog", "a cat"]),
        (["A. B", "B. A"], ["B", "A"]),
        (["A. several\nlines"], ["several\nlines"]),
    ],
)
def test_letters_come_off_where_all_have_one(options: list[str], texts: list[str]) -> None:
    assert list(without_letters(options).texts) == texts


@pytest.mark.parametrize(
    ("options", "answer", "gold"),
    [
        (["A. a dog", "B. a cat"], "B", "a cat"),
        (["A. a dog", "B. a cat"], "B.", "a cat"),
        (["A. a dog", "B. a cat"], "(B)", "a cat"),
        (["A. a dog", "B. a cat"], "B. A cat.", "a cat"),
        (["A. a dog", "B. a cat"], "a dog", "a dog"),
        (["B. a dog", "A. a cat"], "A", "a cat"),
        (["A. B", "B. A"], "A", "B"),
        (["3", "4"], "B", "4"),
    ],
)
def test_an_answer_names_an_option(options: list[str], answer: str, gold: str) -> None:
    assert without_letters(options).gold(answer) == gold


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        (["A. a", "B. b"], "C", "the answer's letter 'C' is none of the options' letters A, B"),
        (["A. a", "B. b"], "b.", "the answer 'b.' is neither a letter nor one of the options ['a', 'b']"),
        (["A. dog", "B. cat"], "B. dog", "the answer 'B. dog' does not match the text of option B, 'cat'"),
        (["A. dog", "B. dog"], "B", "the right option 'dog' stands 2 times among the options"),
        (["A. dog", "B. "], "A", "option B is empty"),
        ([], "A", "multiple choice, and no options"),
        (["x"] * 27, "A", "27 options, where there are 26 letters"),
    ],
)
def test_what_cannot_be_told_is_said(options: list[str], answer: str, reason: str) -> None:
    with pytest.raises(BadRow) as raised:
        without_letters(options).gold(answer)
    assert str(raised.value) == reason


def test_a_word_is_no_letter() -> None:
    assert split_letter("Apples. Many") is None
    assert split_letter("A dog") is None


def test_all_letters_can_be_used() -> None:
    assert without_letters([f"{letter}. {number}" for number, letter in enumerate(LETTERS)]).gold("Z") == "25"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("42", "numerical"),
        ("-3.5", "numerical"),
        ("1,000", "numerical"),
        (".5", "numerical"),
        ("3 cm", "free-form"),
        ("", "free-form"),
        ("-", "free-form"),
    ],
)
def test_a_number_alone_is_numerical(answer: str, kind: str) -> None:
    assert open_kind(answer) == kind


def test_repeated_ids_are_numbered_in_order() -> None:
    ids = UniqueIds()
    assert [ids.take(each) for each in ("a", "b", "a", "a")] == ["a", "b", "a#2", "a#3"]
