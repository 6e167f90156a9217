"""The reward file's content: what earns credit, and that nothing at all raises."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from vidground_openrlhf.rewarding import Rewarder, label_of, reply_of, write

HEADER = "<|im_start|>assistant\n"
PROMPT = f"<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>\n{HEADER}"
KEYS = {"accuracy", "format", "broken"}


def reward(reply: str, label: str, **settings: Any) -> dict[str, Any]:
    query = PROMPT.replace("<|image_pad|>", "<|image_pad|>" * 16) + reply
    return Rewarder(HEADER, **settings)([query], [PROMPT], [label])


CHOICE = label_of("q1", "multiple choice", "a dog", ("a cat", "a dog"))


@pytest.mark.parametrize(
    ("reply", "credit"),
    [
        ("<think>hm</think><answer>B</answer><|im_end|>", 1.0),
        ("<think>hm</think>\n<answer>(B)</answer><|im_end|>\n", 1.0),
        ("<answer>B.</answer>", 1.0),
        ("<think>hm</think><answer>A</answer>", 0.0),
        ("<think>hm</think><answer></answer>", 0.0),
        ("", 0.0),
        ("B", 0.0),
        ("<answer>A or B or C</answer>", 0.0),
        ("<answer>A) a cat B) a dog</answer>", 0.0),
        ("<think><answer>B</answer></think>", 0.0),
        ("<answer>A</answer><answer>B</answer>", 0.0),
        ("<answer>B</answer><answer>B</answer>", 0.0),
        ("</think><answer>B</answer>", 0.0),
        ("<think>a</think><think>b</think><answer>B</answer>", 0.0),
        ("<think>maybe <answer>B</answer>", 0.0),
        ("<answer>B</answer><think>a</think>", 0.0),
        # A reply that opens a turn of its own is still one reply.
        (f"<answer>A</answer>{HEADER}<answer>B</answer>", 0.0),
    ],
)
def test_strict_credit_for_one_letter_only(reply: str, credit: float) -> None:
    assert reward(reply, CHOICE)["scores"] == credit


@pytest.mark.parametrize(
    ("kind", "answer", "reply", "credit"),
    [("numerical", "1000", "1,000", 1.0), ("numerical", "3.5", "3.6", 0.0), ("OCR", "to be or", "to be or", 1.0),
     ("regression", "100", "90", 0.9), ("free-form", "a red ball", "a red ball", 1.0), ("free-form", "a red ball", "I cannot tell", 0.0)],
)  # fmt: skip
def test_each_row_is_scored_by_its_own_kind(kind: str, answer: str, reply: str, credit: float) -> None:
    found = reward(f"<answer>{reply}</answer>", label_of("q", kind, answer, ()))
    assert found["scores"] == pytest.approx(credit)


def test_the_format_counts_beside_accuracy_but_not_into_the_score() -> None:
    found = reward("<think>hm</think><answer>A</answer>", CHOICE, format_reward=0.5)
    assert (found["rewards"], found["scores"], found["extra_logs"]["format"]) == (0.5, 0.0, 1.0)
    assert reward("<answer>B</answer>", CHOICE, format_reward=0.5)["rewards"] == 1.0


def test_thinking_that_the_chat_template_opens_is_the_replys_own() -> None:
    header, prompt = f"{HEADER}<think>\n", f"{PROMPT}<think>\n"
    for reply, found in (("hm</think><answer>B</answer>", (1.0, 1.0)), ("<think>hm</think><answer>B</answer>", (0.0, 0.0))):
        given = Rewarder(header, format_reward=0.5)([prompt + reply], [prompt], [CHOICE])
        assert (given["scores"], given["extra_logs"]["format"]) == found


def test_published_rules_keep_their_holes() -> None:
    assert reward("<think><answer>B</answer></think>", CHOICE, rules="video-r1")["scores"] == 1.0


def test_option_texts_where_the_model_answers_so() -> None:
    found = reward("A dog.", CHOICE, answer_format="plain", accuracy="option-text")
    assert found["scores"] == 1.0
    assert reward("a dog a cat", CHOICE, answer_format="plain", accuracy="option-text")["scores"] == 0.0


@pytest.mark.parametrize(
    ("queries", "prompts", "labels"),
    [([], [], []), ([PROMPT], [PROMPT], ["no json"]), (["no header"], [PROMPT], [CHOICE]), ([PROMPT], [PROMPT], ["{}"]),
     ([None], [PROMPT], [CHOICE]), ([PROMPT + "<answer>B</answer>"], [PROMPT], ["[1]"])],
)  # fmt: skip
def test_nothing_raises(queries: list[Any], prompts: list[Any], labels: list[Any]) -> None:
    found = Rewarder(HEADER)(queries, prompts, labels)
    assert found == {"rewards": 0.0, "scores": 0.0, "extra_logs": {"accuracy": 0.0, "format": 0.0, "broken": 1.0}}


@pytest.mark.parametrize("reply", ["<answer>B</answer>", "", "<answer>"])
def test_the_keys_are_the_same_whatever_happens(reply: str) -> None:
    found = reward(reply, CHOICE)
    assert set(found) == {"rewards", "scores", "extra_logs"}
    assert set(found["extra_logs"]) == KEYS
    assert all(isinstance(value, float) for value in (found["rewards"], found["scores"], *found["extra_logs"].values()))


def test_the_reply_stands_behind_the_prompts_own_last_header() -> None:
    twice = f"{HEADER}earlier<|im_end|>{PROMPT}"
    assert reply_of(f"{twice}mine<|im_end|>", twice, HEADER) == "mine"
    with pytest.raises(ValueError, match="does not hold the header"):
        reply_of("mine", PROMPT, HEADER)


def test_the_reward_file_holds_its_settings(tmp_path: Path) -> None:
    """Run as OpenRLHF loads it; quotes in a header must not break the file."""
    path = tmp_path / "reward.py"
    path.write_text(write(Rewarder('"it\'s"\n', answer_format="plain", accuracy="option-text")), encoding="utf-8")
    function = runpy.run_path(str(path))["reward_func"]
    assert function(['what?"it\'s"\na dog'], ['what?"it\'s"\n'], [CHOICE])["scores"] == 1.0
