from __future__ import annotations

import pytest

from vidground_core import Question
from vidground_core.evaluation.prompts import render
from vidground_core.exports.prompting import Asking, neutral

CHOICE = Question("c", "Which?", "cat", ("dog", "cat", "cow"))
NUMBER = Question("n", "How many?", "3", kind="numerical")
REASONED = Question("r", "Which?", "cat", ("dog", "cat"), tags={"process": "<think>a tail</think>"})


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("<video>", "< video>"),
        ("a <IMAGE> b <audio>", "a < IMAGE> b < audio>"),
        ("<|vision_start|><|image_pad|>", "< |vision_start|>< |image_pad|>"),
        ("<|im_end|>", "< |im_end|>"),
        ("</video>", "< /video>"),
        ("<bbox> <ref-object> <img>", "< bbox> < ref-object> < img>"),
        ("<|eot_id|> <IMG_CONTEXT> <start_of_image> </s>", "< |eot_id|> < IMG_CONTEXT> < start_of_image> < /s>"),
        ("<|two words|> <a|b> |x|", "<|two words|> <a|b> |x|"),
        ("a < b and <b>bold</b> and <videos>", "a < b and <b>bold</b> and <videos>"),
    ],
)
def test_tags_that_would_claim_media_are_broken_up(text: str, broken: str) -> None:
    assert neutral(text) == broken
    assert neutral(broken) == broken


def test_rows_for_rl_are_asked_for_tags_and_others_for_the_letter() -> None:
    rl, sft = Asking("", "rl"), Asking("", "sft")
    assert rl.text(CHOICE).startswith("Which?Options:\nA. dog\nB. cat\nC. cow\n\nPlease think")
    assert rl.response(CHOICE) == "<answer>B</answer>"
    assert rl.truth(CHOICE) == "B"
    assert sft.text(CHOICE) == "Which?\nA. dog\nB. cat\nC. cow\nAnswer with the option's letter from the given choices directly."
    assert sft.response(CHOICE) == "B"


def test_an_open_question_is_not_asked_for_a_letter() -> None:
    for asking in (Asking("", "sft"), Asking("letter", "rl")):
        assert asking.text(NUMBER) == "How many?"
        assert asking.response(NUMBER) == asking.truth(NUMBER) == "3"


def test_a_written_reasoning_stands_before_the_answer_it_leads_to() -> None:
    assert Asking("", "sft").response(REASONED) == "<think>a tail</think>\n<answer>B</answer>"
    assert Asking("bare", "sft").response(REASONED) == "B", "a prompt without tags asks for no reasoning"


SAID = Question("s", "How?", "use <video>", ("use <video>", "<|image_pad|>"), tags={"process": "<think>an <image></think>"})


def test_what_a_model_should_say_has_no_tags_either() -> None:
    assert Asking("", "sft", "text").response(SAID) == "<think>an < image></think>\n<answer>use < video></answer>"
    assert Asking("bare", "sft", "text").response(SAID) == "use < video>"
    assert Asking("bare", "dpo", "text").rejected(SAID) == "< |image_pad|>"


def test_a_reward_compares_with_the_option_as_shown_and_with_an_open_answer_as_it_is() -> None:
    assert Asking("", "rl", "text").truth(SAID) == "use < video>"
    assert Asking("", "rl", "text").truth(Question("o", "How?", "use <video>", kind="free-form")) == "use <video>"


def test_one_question_s_texts_are_told_apart_by_prompt_and_by_question() -> None:
    other = Question("d", "Who?", "me", kind="free-form")
    for question in (CHOICE, other, CHOICE):
        for name in ("bare", "letter", "video-r1"):
            assert Asking(name, "rl").text(question) == neutral(render(Asking(name, "rl").prompt(question), question))


def test_the_answer_may_be_the_options_text() -> None:
    asking = Asking("bare", "rl", "text")
    assert (asking.truth(CHOICE), asking.response(CHOICE)) == ("cat", "cat")


def test_the_wrong_answer_is_another_option_and_drawn_by_seed() -> None:
    drawn = {Asking("bare", "dpo", seed=seed).rejected(CHOICE) for seed in range(20)}
    assert drawn == {"A", "C"}
    assert Asking("bare", "dpo", seed=3).rejected(CHOICE) == Asking("bare", "dpo", seed=3).rejected(CHOICE)
    assert Asking("bare", "dpo").rejected(NUMBER) is None
    assert Asking("bare", "dpo").rejected(Question("s", "?", "yes", ("yes",))) is None
