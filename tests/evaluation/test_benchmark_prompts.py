"""The texts of harnesses, written out from their sources."""

from __future__ import annotations

import pytest

from vidground_core import Question
from vidground_core.evaluation.benchmark_prompts import benchmark_prompt

OPTIONS = ("it's {one}", "two")
ORDER = (1, 0)


def asked(harness: str, source: str, *, options: tuple[str, ...] = OPTIONS, **tags: str) -> tuple[str, str]:
    answer, kind = (options[0], "multiple choice") if options else ("x", "free-form")
    question = Question("q", "What {options}?", answer, options, kind, source=source, tags=tags)  # type: ignore[arg-type]
    prompt = benchmark_prompt(harness, question)
    assert prompt is not None
    return prompt.render(question, ORDER[: len(options)])


@pytest.mark.parametrize(
    ("source", "tags", "text"),
    [
        ("mvbench", {}, "Question:What {options}?\nOption:\n(A) two\n(B) it's {one}\nOnly give the best option.\n"),
        ("tempcompass", {"task": "multi-choice"}, "What {options}?\nA. two\nB. it's {one}\nPlease directly give the best option:"),
        ("tempcompass", {"task": "yes_no"}, "What {options}?\nPlease answer yes or no:"),
        ("nextqa", {}, "What {options}?\nA. two\nB. it's {one}"),
        (
            "videommmu",
            {"track": "Perception"},
            "What {options}?\nA. two\nB. it's {one}\nPlease ignore the Quiz question in last frame of the video.",
        ),
        (
            "videommmu",
            {"track": "Adaptation"},
            "You should watch and learn the video content. Then apply what you learned to answer the following multi-choice question. The"
            " image for this question is at the end of the video.\nWhat {options}?\nA. two\nB. it's {one}",
        ),
        (
            "mmvu",
            {},
            "\nQuestion:What {options}?\nA: two\nB: it's {one}\nVisual Information: processed video\nDo not generate any intermediate"
            " reasoning process. Answer directly with the option letter from the\ngiven choices.\n",
        ),
    ],
)
def test_lmms_eval_s_texts(source: str, tags: dict[str, str], text: str) -> None:
    assert asked("lmms-eval", source, **tags) == ("", text)


def test_lmms_eval_s_texts_of_open_questions() -> None:
    assert asked("lmms-eval", "mmvu", options=())[1] == (
        "\nQuestion:What {options}?\nVisual Information: processed video\nDo not generate any intermediate reasoning process. Directly"
        " output the final answer.\n"
    )
    assert asked("lmms-eval", "videommmu", options=(), track="Adaptation")[1] == (
        "You should watch and learn the video content. Then apply what you learned to answer the following open-ended question. The image"
        " for this question is at the end of the video.\nWhat {options}?"
    )


def test_tomato_s_options_are_a_dictionary() -> None:
    text = asked("lmms-eval", "tomato")[1]
    assert "\n<options> \n{'A': 'two', 'B': \"it's {one}\"} \n</options>\n" in text
    assert "do not rely on any externel knowledge or commonsense. \n\n<question> \nWhat {options}? \n</question>" in text


def test_vlmevalkit_puts_the_video_into_the_text() -> None:
    before, after = asked("vlmevalkit", "mvbench")
    assert before.startswith("\nCarefully watch the video and pay attention to the cause and sequence of events, the detail")
    assert before.endswith(
        "accurately addresses the question.\n\nQuestion: What {options}?\nOptions:\n(A) two\n(B) it's {one}\nOnly give the best option."
    )
    assert after == "Best option:("
    assert asked("vlmevalkit", "tempcompass", task="caption_matching") == (
        "What {options}?\nA. two\nB. it's {one}",
        "\nPlease directly give the best option:",
    )


def test_other_data_sets_and_prompts_have_no_text_of_their_own() -> None:
    question = Question("q", "?", "a", ("a", "b"), source="videomme")
    assert benchmark_prompt("lmms-eval", question) is None
    assert benchmark_prompt("letter", Question("q", "?", "a", ("a", "b"), source="mvbench")) is None
