"""TempCompass: options inside the text, four tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.datasets.tempcompass import TempCompassLoader

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


def entry(question: str, answer: str) -> dict[str, Any]:
    return {"1021_reverse": {"action": [{"question": question, "answer": answer}]}}


@pytest.mark.parametrize(
    ("task", "question", "answer", "text", "options", "gold"),
    [
        ("multi-choice", "What?\nA. runs\nB.sits\n C. jumps", "B.sits", "What?", ("runs", "sits", "jumps"), "sits"),
        ("yes_no", "Does he run?", "No", "Does he run?", ("yes", "no"), "no"),
        (
            "caption_matching",
            "Which?\nOption 1: He runs.\nOption 2: He sits.",
            "Option 2: He sits.",
            "Which?",
            ("He runs.", "He sits."),
            "He sits.",
        ),
        ("caption_matching", "Which?\nSentence A: Run.\nSentence B: Sit.", "Sentence A: Run.", "Which?", ("Run.", "Sit."), "Run."),
        (
            "captioning",
            "Tell.\nInformation A: {'a': 'run'}\nInformation B: {'a': 'sit'}\nGenerated Caption:",
            "B. sit",
            "Tell.",
            ("{'a': 'run'}", "{'a': 'sit'}"),
            "{'a': 'sit'}",
        ),
    ],
)
def test_each_task_is_read(
    load: Load, write: Write, task: str, question: str, answer: str, text: str, options: tuple[str, ...], gold: str
) -> None:
    (read,), aside = load(TempCompassLoader, write(f"questions/{task}.json", entry(question, answer)))
    assert aside == []
    assert (read.text, read.options, read.answer, read.kind) == (text, options, gold, "multiple choice")
    assert (read.id, read.group) == (f"{task}-1021_reverse-action-0", "1021_reverse")
    assert read.tags == {"task": task, "aspect": "action"}
    assert read.media[0].path.endswith("videos/1021_reverse.mp4")
    assert "questions" not in read.media[0].path


def test_a_folder_is_read_without_the_predictions_beside_it(load: Load, write: Write, tmp_path: Path) -> None:
    write("yes_no.json", entry("Runs?", "yes"))
    write("multi-choice.json", entry("What?\nA. x\nB. y", "A. x"))
    write("pred_yes_no.json", entry("Predicted?", "no"))
    questions, _ = load(TempCompassLoader, tmp_path)
    assert [question.tags["task"] for question in questions] == ["multi-choice", "yes_no"]
    assert TempCompassLoader.recognises(tmp_path)


def test_flat_rows_are_read(load: Load, write: Write) -> None:
    rows = [{"video_id": "7", "question": "Runs?", "answer": "yes", "dim": "speed"}] * 2
    path = write("yes_no/test-00000-of-00001.parquet", rows)
    questions, _ = load(TempCompassLoader, path)
    assert [question.id for question in questions] == ["yes_no-7-speed-0", "yes_no-7-speed-1"]
    assert TempCompassLoader.recognises(path)


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("Runs?", "maybe", "no options in the question, and the answer 'maybe' is neither yes nor no"),
        ("What?\nA. x\nB. y", "B. x", "the answer 'B. x' does not match the text of option B, 'y'"),
        ("What?\nOption 1: x\nOption 2: y", "Option 3: z", "the answer 'Option 3: z' names none of the options 1, 2"),
        ("What?\nOption 1: x\nOption 2: y", "Option 1: y", "the answer 'Option 1: y' does not match the option 1, 'x'"),
        ("What?\nOption 1: x\nOption 2: y", "x", "the answer 'x' names none of the options 1, 2"),
        ("", "yes", "question is empty"),
    ],
)
def test_a_bad_entry_is_set_aside(load: Load, write: Write, question: str, answer: str, reason: str) -> None:
    content = {"1": {"order": [{"question": "Sits?", "answer": "no"}]}, "2": {"order": [{"question": question, "answer": answer}]}}
    path = write("multi-choice.json", content)
    questions, (aside,) = load(TempCompassLoader, path)
    assert len(questions) == 1
    assert (aside.file, aside.id, aside.reason) == (str(path), "multi-choice-2-order-0", reason)
    assert path.read_text().splitlines()[aside.line - 1].strip().startswith('"2"')


def test_a_video_that_is_no_object_is_set_aside(load: Load, write: Write) -> None:
    questions, (aside,) = load(TempCompassLoader, write("yes_no.json", {"1": [], **entry("Sits?", "no")}))
    assert len(questions) == 1
    assert aside.reason == "video '1': not an object of aspects with lists of questions"


@pytest.mark.shared
def test_real_rows(load: Load, write: Write, samples: dict[str, Any], shared: Path) -> None:
    gold = {
        "multi-choice": "dunking a basketball",
        "yes_no": "yes",
        "caption_matching": "A man is dunking a basketball.",
        "captioning": "{'subject': 'man', 'action': 'dunking a basketball'}",
    }
    for task, answer in gold.items():
        (question,), _ = load(TempCompassLoader, write(f"{task}.json", samples[f"tempcompass_{task}"]))
        assert question.answer == answer
    questions, aside = load(TempCompassLoader, shared / "tempcompass" / "multi-choice.json")
    assert (len(questions), aside, len({question.group for question in questions})) == (1580, [], 410)
    assert round(100 * sum(question.chance for question in questions) / 1580, 1) == 29.8
    questions, aside = load(TempCompassLoader, shared / "tempcompass")
    assert (len(questions), aside) == (1580 + 2453, [])
