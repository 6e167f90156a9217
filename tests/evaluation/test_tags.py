"""The strict reading of `<think>` and `<answer>` tags."""

from __future__ import annotations

import pytest

from vidground_core.evaluation.tags import tagged_answer, thinking_opened


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<think>a</think><answer>B</answer>", "B"),
        ("<think>\na\n</think>\n\n<answer>\n B \n</answer> done", "B"),
        ("<thinking>a</thinking><answer>B</answer>", "B"),
        ("<answer>B</answer>", "B"),
        ("so <think>a</think> then <answer>B</answer>", "B"),
        ("<think>perhaps <answer>A</answer></think><answer>B</answer>", "B"),
        ("", ""),
        ("B", ""),
        ("<think>a</think><answer></answer>", ""),
        ("<think><answer>B</answer></think>", ""),
        ("</think><answer>B</answer>", ""),
        ("a</think><answer>B</answer>", ""),
        ("<think>a<answer>B</answer>", ""),
        ("<think>a</think><think>b</think><answer>B</answer>", ""),
        ("<think>a<think>b</think><answer>B</answer>", ""),
        ("<think>a</think>b</think><answer>B</answer>", ""),
        ("<think>a</think><THINK>b</THINK><answer>B</answer>", ""),
        ("<think>a</thinking><answer>B</answer>", ""),
        ("</think>a<think><answer>B</answer>", ""),
        ("<answer>B</answer><think>a</think>", ""),
        ("<answer>A</answer><think>a</think><answer>B</answer>", ""),
        ("<think>a</think><answer>B</answer><think>b</think>", ""),
        ("<answer>B</answer><answer>B</answer>", ""),
        ("<answer><answer>B</answer></answer>", ""),
        ("<answer>B</answer></answer>", ""),
        ("</answer>B<answer>", ""),
        ("<answer>B", ""),
    ],
)
def test_only_one_answer_behind_at_most_one_thought(reply: str, answer: str) -> None:
    assert tagged_answer(reply) == answer


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>"),
        ("<|im_start|>assistant\n", ""),
        ("<think>a</think>", ""),
        ("answer in <think> tags<|im_end|>", ""),
        ("", ""),
    ],
)
def test_a_prompt_may_open_the_thinking(prompt: str, opened: str) -> None:
    assert thinking_opened(prompt) == opened
