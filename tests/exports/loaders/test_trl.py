"""`datasets` and TRL's own preparation read what is exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Question
from vidground_core.exports.trl import TRLExporter
from vidground_core.models import resolve_model

pytest.importorskip("trl", reason="trl is not installed here: pip install vidground-trl")
pytestmark = pytest.mark.filterwarnings("default")


def _loaded(folder: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("parquet", data_files=str(folder / "train.parquet"), split="train", cache_dir=str(cache))


@pytest.mark.parametrize("task", ["rl", "sft", "dpo"])
def test_its_preparation_puts_the_pictures_before_the_question(
    mixed: list[Question], written: Callable[..., Any], tmp_path: Path, task: str
) -> None:
    from PIL.Image import Image
    from trl.data_utils import is_conversational, prepare_multimodal_messages

    folder, aside = written(TRLExporter, mixed, task=task, frames=4)
    refused = {name for name, _ in aside}
    rows = _loaded(folder, tmp_path / "cache")
    kept = [question for question in mixed if question.id not in refused]
    assert refused == ({"gone", "picture", "pictures", "open"} if task == "dpo" else {"gone"})
    assert len(rows) == len(kept)
    for row, question in zip(rows, kept, strict=True):
        assert is_conversational(row)
        assert all(isinstance(image, Image) for image in row["images"])
        (message,) = prepare_multimodal_messages(row["prompt"], images=row["images"])
        parts = [part["type"] for part in message["content"]]
        assert parts == ["image"] * sum(4 if medium.type == "video" else 1 for medium in question.media) + ["text"]
        assert row["qid"] == question.id
        said = [turn["content"] for name in ("completion", "chosen", "rejected") for turn in row.get(name) or []]
        assert not any(tag in text for text in said for tag in ("<video>", "<image>", "<|"))
        assert ("answer" in row) == (task == "rl")


def test_a_model_takes_the_prepared_row(mixed: list[Question], written: Callable[..., Any], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl.data_utils import prepare_multimodal_messages

    torch.set_num_threads(1)
    folder, _ = written(TRLExporter, mixed[:1], frames=2)
    (row,) = _loaded(folder, tmp_path / "cache")
    messages = prepare_multimodal_messages(row["prompt"], images=row["images"])
    processor = AutoProcessor.from_pretrained(resolve_model("nano"))
    inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True)
    model = AutoModelForImageTextToText.from_pretrained(resolve_model("nano"))
    assert torch.isfinite(model(**inputs).logits).all()


def test_without_frames_videos_stand_as_paths(mixed: list[Question], written: Callable[..., Any], tmp_path: Path) -> None:
    folder, aside = written(TRLExporter, mixed, frames=0)
    rows = _loaded(folder, tmp_path / "cache")
    by_id = {row["qid"]: row for row in rows}
    assert by_id["comma"]["videos"] == [mixed[1].media[0].path]
    assert by_id["comma"]["images"] == []
    assert [len(by_id[name]["images"]) for name in ("picture", "pictures", "text")] == [1, 2, 0]
    assert {name for name, _ in aside} == {"both", "span", "gone"}
