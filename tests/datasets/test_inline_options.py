"""Options at the end of a question's text, and lists in cells."""

from __future__ import annotations

import pytest

from vidground_core.datasets.file_loader import BadRow
from vidground_core.datasets.inline_options import NAMED_LINE, listed, split_inline


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        ("What?\nA. x\nB. y", "What?", ("x", "y")),
        ("What?\nA. x\nB.y\n C) z", "What?", ("x", "y", "z")),
        ("What?\nOptions:\n(A) x\n(B) y", "What?", ("x", "y")),
        ("Choose. Options:\nA. x\nB. y\n", "Choose.", ("x", "y")),
        ("Two\nlines?\nA. x\nand more\nB. y", "Two\nlines?", ("x and more", "y")),
        ("See figure\nA. shown here\nwhat is B?\nA. x\nB. y", "See figure\nA. shown here\nwhat is B?", ("x", "y")),
    ],
)
def test_options_are_taken_out_of_the_text(text: str, question: str, options: tuple[str, ...]) -> None:
    split = split_inline(text)
    assert split is not None
    assert (split[0], split[1].texts) == (question, options)


@pytest.mark.parametrize(
    "text", ["What?", "What?\nA. only one", "What?\nA. x\nC. y", "A. x\nB. y", "What?\nB. x\nC. y", "What?\nA. \nB. y"]
)
def test_a_text_without_options_stays_one(text: str) -> None:
    assert split_inline(text) is None


def test_options_may_be_named_and_numbered() -> None:
    split = split_inline("Which?\nOption 1: one.\nOption 2: two.", NAMED_LINE)
    assert split is not None
    assert (split[1].letters, split[1].texts) == (("1", "2"), ("one.", "two."))


def test_a_list_in_a_cell_is_read_as_a_literal_only() -> None:
    assert listed("['A. x', \"B. it's\"]", "candidates") == ["A. x", "B. it's"]
    assert listed('["x", "y"]', "candidates") == ["x", "y"]
    with pytest.raises(BadRow, match=r"candidates '__import__\(\"os\"\)' is not a list"):
        listed('__import__("os")', "candidates")
