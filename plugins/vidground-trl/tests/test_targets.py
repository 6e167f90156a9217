from __future__ import annotations

import pytest
from vidground_trl.targets import target

from vidground_core import Question

CHOICE = Question(id="1", text="?", options=("cat", "dog"), answer="dog", tags={"process": "<think>It barks.</think>"})
NUMBER = Question(id="2", text="?", answer="42", kind="numerical")


@pytest.mark.parametrize(
    ("question", "accuracy", "expected"), [(CHOICE, "letter", "B"), (CHOICE, "option-text", "dog"), (NUMBER, "letter", "42")]
)
def test_the_answer_as_it_is_asked_for(question: Question, accuracy: str, expected: str) -> None:
    assert target(question, accuracy=accuracy, answer_format="plain") == expected
    assert target(question, accuracy=accuracy, answer_format="think") == f"<think></think>\n<answer>{expected}</answer>"


def test_a_rationale_stands_between_its_tags_once() -> None:
    taught = target(CHOICE, accuracy="letter", answer_format="think", rationale="process")
    assert taught == "<think>It barks.</think>\n<answer>B</answer>"


def test_what_is_taught_earns_the_full_reward() -> None:
    from vidground_trl.rewards import accuracy, well_formed

    for answer_format in ("plain", "think"):
        for rule in ("letter", "option-text"):
            text = target(CHOICE, accuracy=rule, answer_format=answer_format)
            assert accuracy(text, kind=CHOICE.kind, gold="dog", options=CHOICE.options, rule=rule, answer_format=answer_format) == 1.0
            assert well_formed(text) == float(answer_format == "think")
