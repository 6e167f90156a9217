"""Shipped texts are exact and pinned, own texts are checked, all are filled in without touching what stands in the question."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import BaseModel

from vidground_core import ConfigError, Question
from vidground_core.evaluation.prompts import PROMPTS, PROMPTS_VERSION, OwnPrompt, PromptChoice, find_prompt, render

CHOICE = Question("q", "What colour?", "blue", ("red", "blue"))
NUMBER = Question("n", "How many?", "3", kind="numerical")


class Asking(BaseModel):
    prompt: PromptChoice = "paper"


def test_the_paper_s_default_and_no_refusal_texts() -> None:
    default = "Based on the question and options provided, use your knowledge and common sense to determine the most likely correct answer."
    forced = (
        " The video and subtitles are not available. Based only on the question and options, you must choose the most plausible answer."
        " If unsure, make your best guess. Do not refuse to answer."
    )
    assert render(PROMPTS["paper"], CHOICE) == f"What colour?\nA. red\nB. blue\n{default}"
    assert render(PROMPTS["paper-no-refusal"], CHOICE) == f"What colour?\nA. red\nB. blue\n{default}{forced}"


def test_lmms_eval_s_text_without_a_video() -> None:
    """tasks/videomme/no_visual: utils.videomme_doc_to_text with the post_prompt of videomme_no_visual.yaml."""
    option_prompt = (
        "Select the best answer to the following multiple-choice question based on the video and the subtitles. "
        "Respond with only the letter (A, B, C, or D) of the correct option."
    )
    post_prompt = "\nAnswer with the option's letter from the given choices directly."
    expected = option_prompt + "\n" + "What colour?" + "\n" + "\n".join(["A. red", "B. blue"]) + "\n" + post_prompt
    assert render(PROMPTS["lmms-eval"], CHOICE) == expected
    assert render(PROMPTS["lmms-eval"], NUMBER) == "How many?\nAnswer the question using a single word or phrase."


def test_vlmevalkit_s_text_of_video_mme() -> None:
    frames = """
These are the frames of a video. \
Select the best answer to the following multiple-choice question based on the video. \
Respond with only the letter (A, B, C, or D) of the correct option.
"""
    question = "What colour?" + "\n" + "\n".join(["A. red", "B. blue"])
    assert render(PROMPTS["vlmevalkit"], CHOICE) == frames + f"Question: {question}\nAnswer: "


def test_video_r1_s_text_of_each_kind() -> None:
    template = (
        "{Question}\n"
        "Please think about this question as if you were a human pondering deeply. "
        "Engage in an internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', 'let's break it down', etc, "
        "or other natural language thought expressions "
        "It's encouraged to include self-reflection or verification in the reasoning process. "
        "Provide your detailed reasoning between the <think> </think> tags, and then give your final answer between the <answer> </answer> "
        "tags."
    )
    within = " within the <answer> </answer> tags."
    question = "What colour?" + "Options:\n" + "A. red\n" + "B. blue\n"
    letter = " Please provide only the single option letter (e.g., A, B, C, D, etc.)" + within
    assert render(PROMPTS["video-r1"], CHOICE) == template.format(Question=question) + letter
    for kind, words in {
        "numerical": " Please provide the numerical value (e.g., 42 or 3.14)",
        "regression": " Please provide the numerical value (e.g., 42 or 3.14)",
        "OCR": " Please transcribe text from the image/video clearly and provide your text answer",
        "free-form": " Please provide your text answer",
    }.items():
        asked = Question("q", "How many?", "3", kind=kind)  # type: ignore[arg-type]
        assert render(PROMPTS["video-r1"], asked) == template.format(Question="How many?") + words + within


def test_a_changed_text_needs_another_version() -> None:
    """Where this fails, raise PROMPTS_VERSION and the prompt's own version, then put the new digest here."""
    texts = sorted(
        f"{prompt.name} {prompt.version} {prompt.instruction} {prompt.layout} {sorted(prompt.layouts.items())}"
        for prompt in PROMPTS.values()
    )
    assert (PROMPTS_VERSION, hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]) == ("1", "9444a7fc0f20")


def test_braces_in_a_question_are_left_alone() -> None:
    odd = Question("q", "What is {options} in {question}?", "{question}", ("{question}", "{options}"))
    assert "Question: What is {options} in {question}?\nA. {question}\nB. {options}\nAnswer: " in render(PROMPTS["vlmevalkit"], odd)


def test_an_empty_question_leaves_no_line() -> None:
    assert render(PROMPTS["bare"], Question("q", "", "red", ("red", "blue"))) == "A. red\nB. blue"


def test_an_own_text_is_an_instruction_or_a_layout() -> None:
    assert render(find_prompt(OwnPrompt(text="Guess.")), CHOICE) == "What colour?\nA. red\nB. blue\nGuess."
    layout = find_prompt(OwnPrompt(text="Pick one:\n{options}\nfor: {question}"))
    assert render(layout, CHOICE, (1, 0)) == "Pick one:\nA. blue\nB. red\nfor: What colour?"
    assert layout.version == hashlib.sha256(b"Pick one:\n{options}\nfor: {question}").hexdigest()[:12]


def test_a_file_becomes_its_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Guess.\n")
    asking = Asking.model_validate({"prompt": str(file)})
    assert asking.prompt == OwnPrompt(text="Guess.", name="mine")
    assert asking.model_dump() == {"prompt": {"text": "Guess.", "name": "mine"}}
    assert Asking.model_validate(asking.model_dump()) == asking


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ("papper", "unknown prompt 'papper'; did you mean 'paper'? there is: bare, letter, lmms-eval, options-only, paper,"),
        ("nosuch.txt", "or give a text file, or the text as prompt.text"),
        (OwnPrompt(text=" "), "the prompt 'own' is empty; for question and options alone name the prompt 'bare'"),
        (OwnPrompt(text="{question}"), "the prompt 'own' has {question} but not {options}: a layout has both, an instruction neither"),
        (OwnPrompt(text="{options}"), "the prompt 'own' has {options} but not {question}: a layout has both, an instruction neither"),
    ],
)
def test_what_is_no_prompt_is_said(choice: str | OwnPrompt, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_prompt(choice)
    assert text in str(error.value)


def test_a_mapping_that_is_no_prompt_is_said() -> None:
    with pytest.raises(ConfigError, match="prompt: option 'text' is required\nprompt: unknown option 'txt'; did you mean 'text'"):
        Asking.model_validate({"prompt": {"txt": "a"}})


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"the prompt file '.*mine\.txt' cannot be read"):
        Asking.model_validate({"prompt": str(file)})
