"""Replies that Qwen2.5-VL-7B gave in published evaluations, against the accuracies that a right extractor must find."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vidground_core.evaluation.answers import Extracted, extract

pytestmark = pytest.mark.shared


def logged(shared: Path, name: str) -> list[dict[str, Any]]:
    (path,) = (shared / "twgrpo" / "preds").glob(f"*_{name}_*")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read(row: dict[str, Any]) -> Extracted:
    return extract(row["model_output"], [text.partition(". ")[2] for text in row["question"]["options"]])


def gold(row: dict[str, Any]) -> int:
    return ord(row["ground_truth"].removeprefix("<answer>").strip()[0]) - ord("A")


@pytest.mark.parametrize(("name", "rows", "right", "accuracy"), [("mvbench", 4000, 2536, 63.40), ("nextqa", 5553, 4215, 75.90)])
def test_published_accuracies_are_met(shared: Path, name: str, rows: int, right: int, accuracy: float) -> None:
    found = [read(row).option == gold(row) for row in logged(shared, name)]
    assert (len(found), sum(found)) == (rows, right)
    assert round(100 * sum(found) / rows, 2) == accuracy


def test_the_row_that_the_published_mvbench_score_misread(shared: Path) -> None:
    rows = logged(shared, "mvbench")
    bare = [row["model_output"].strip() == chr(ord("A") + gold(row)) for row in rows]
    assert f"{100 * sum(bare) / len(rows):.3f}" == "63.375"
    (missed,) = [row for row, right in zip(rows, bare, strict=True) if not right and read(row).option == gold(row)]
    assert missed["model_output"] == "<answer>A</answer>"


def test_two_replies_of_nextqa_are_no_answers_one_of_them_a_leaked_prompt(shared: Path) -> None:
    rows = logged(shared, "nextqa")
    unread = [row["model_output"] for row in rows if read(row).outcome != "answer"]
    assert Counter(read(row).outcome for row in rows) == {"answer": 5551, "unparsed": 2}
    empty, leaked = sorted(unread, key=len)
    assert empty == "<answer></answer>"
    assert "Answer with the option's letter from the given choices directly." in leaked


def test_a_letter_beyond_the_options_is_no_answer(shared: Path) -> None:
    beyond = [row for row in logged(shared, "mvbench") if read(row).outcome != "answer"]
    assert [(row["model_output"], len(row["question"]["options"])) for row in beyond] == [("D", 3), ("D", 3), ("D", 3), ("B", 1)]


def test_video_llavas_replies_to_tempcompass_are_read_as_its_authors_read_them(shared: Path) -> None:
    videos = json.loads((shared / "tempcompass" / "eval_video-llava_multi-choice.json").read_text(encoding="utf-8"))
    rows = [row for aspects in videos.values() for answers in aspects.values() for row in answers]
    options = [[line.partition(". ")[2] for line in row["question"].splitlines()[1:]] for row in rows]
    found = [extract(row["video-llm-prediction"], shown) for row, shown in zip(rows, options, strict=True)]
    right = [answer.option == ord(row["gt-answer"][0]) - ord("A") for answer, row in zip(found, rows, strict=True)]
    assert right == [row["rating"] == 1 for row in rows]
    assert (len(right), sum(right)) == (1580, 720)
