"""Replies that Qwen2.5-VL-7B gave in published evaluations, against the accuracies that a right extractor must find."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidground_core.evaluation.answers import extract

pytestmark = pytest.mark.shared


def options(shown: list[str]) -> list[str]:
    return [text.partition(". ")[2] for text in shown]


@pytest.mark.parametrize(("name", "rows", "accuracy"), [("mvbench", 4000, 63.40), ("nextqa", 5553, 75.90)])
def test_published_accuracies_are_met(shared: Path, name: str, rows: int, accuracy: float) -> None:
    (path,) = (shared / "twgrpo" / "preds").glob(f"*_{name}_*")
    right = total = 0
    with path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            total += 1
            gold = row["ground_truth"].removeprefix("<answer>").strip()[0]
            right += extract(row["model_output"], options(row["question"]["options"])).option == ord(gold) - ord("A")
    assert total == rows
    assert round(100 * right / total, 2) == accuracy
