"""ms-swift's own loader reads what is exported; it runs in an environment of its own (make test-backend-ms-swift)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Question
from vidground_core.exports.ms_swift import MsSwiftExporter

pytest.importorskip("swift.dataset", reason="ms-swift is not installed here: make test-backend-ms-swift")
pytestmark = pytest.mark.filterwarnings("default")


def _loaded(folder: Path, **options: Any) -> list[dict[str, Any]]:
    from swift.dataset import load_dataset

    train, _ = load_dataset(str(folder / "train.jsonl"), load_from_cache_file=False, strict=True, **options)
    return list(train)


def _media(row: dict[str, Any]) -> list[str]:
    return [*(row.get("videos") or []), *(image["path"] for image in row.get("images") or [])]


@pytest.mark.parametrize("task", ["rl", "sft", "dpo"])
def test_it_reads_every_row_with_as_many_tags_as_media(mixed: list[Question], written: Callable[..., Any], task: str) -> None:
    folder, aside = written(MsSwiftExporter, mixed, task=task, spans="whole")
    refused = {name for name, _ in aside}
    assert refused == ({"gone", "picture", "pictures", "open"} if task == "dpo" else {"gone"})
    kept = [question for question in mixed if question.id not in refused]
    rows = _loaded(folder)
    assert len(rows) == len(kept)
    for row, question in zip(rows, kept, strict=True):
        asked = row["messages"][0]["content"]
        assert asked.count("<video>") == sum(medium.type == "video" for medium in question.media)
        assert asked.count("<image>") == sum(medium.type == "image" for medium in question.media)
        assert sorted(_media(row)) == sorted(medium.path for medium in question.media)
        assert [message["role"] for message in row["messages"]] == (["user"] if task == "rl" else ["user", "assistant"])
        said = [message["content"] for message in row["messages"][1:]] + [row.get("rejected_response") or ""]
        assert not any(tag in text for text in said for tag in ("<video>", "<image>", "<|"))
        if task == "dpo":
            assert row["rejected_response"] != row["messages"][1]["content"]


def test_the_reward_gets_the_solution(mixed: list[Question], written: Callable[..., Any]) -> None:
    folder, _ = written(MsSwiftExporter, mixed[:4])
    rows = _loaded(folder, remove_unused_columns=False)
    assert [(row["qid"], row["solution"], row["kind"]) for row in rows] == [
        ("plain", "B", "multiple choice"),
        ("comma", "A", "multiple choice"),
        ("tag", "C", "multiple choice"),
        ("picture", "3", "numerical"),
    ]
