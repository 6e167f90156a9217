from __future__ import annotations

import pytest
from vidground_trl.instructions import instruct

from vidground_core import ConfigError, Question
from vidground_core.evaluation.prompts import PROMPTS, render

CHOICE = Question("q", "what color?", "red", ("red", "blue"), tags={"label": "ta"})


def test_plain_is_the_prompt_alone() -> None:
    assert instruct(CHOICE, prompt="bare", answer_format="plain", accuracy="option-text") == render(PROMPTS["bare"], CHOICE)


@pytest.mark.parametrize(("accuracy", "asked"), [("letter", "the single option letter"), ("option-text", "the text of the right option")])
def test_tags_are_asked_for_by_what_counts_as_right(accuracy: str, asked: str) -> None:
    text = instruct(CHOICE, prompt="bare", answer_format="think", accuracy=accuracy)
    assert text.startswith("what color?\nA. red\nB. blue\nPlease think about this question")
    assert "<think> </think>" in text
    assert asked in text.rpartition("tags.")[0]
    assert "ta" not in text.split()


def test_each_kind_is_asked_in_its_own_words() -> None:
    texts = {kind: instruct(Question("q", "how many?", "3", kind=kind), prompt="bare", answer_format="think", accuracy="letter")
             for kind in ("numerical", "OCR", "free-form", "regression")}  # fmt: skip
    assert "numerical value" in texts["numerical"]
    assert "transcribe" in texts["OCR"]
    assert "your text answer" in texts["free-form"]
    assert "numerical value" in texts["regression"]


def test_an_unknown_prompt_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown prompt 'bar'; did you mean 'bare'\?"):
        instruct(CHOICE, prompt="bar", answer_format="plain", accuracy="letter")
