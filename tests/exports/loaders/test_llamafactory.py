"""LLaMA-Factory's own loader reads what is exported; it runs in an environment of its own (make test-backend-llamafactory)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Question
from vidground_core.exports.llamafactory import LLaMAFactoryExporter
from vidground_core.models import resolve_model

pytest.importorskip("llamafactory", reason="llamafactory is not installed here: make test-backend-llamafactory")
pytestmark = pytest.mark.filterwarnings("default")


def _aligned(folder: Path, tmp_path: Path, stage: str) -> list[dict[str, Any]]:
    from llamafactory.data.loader import _get_merged_dataset
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import TrainingArguments

    data = DataArguments(dataset="vidground", dataset_dir=str(folder), overwrite_cache=True)
    model = ModelArguments(model_name_or_path=resolve_model("nano"), cache_dir=str(tmp_path / "cache"))
    training = TrainingArguments(output_dir=str(tmp_path / "trained"), use_cpu=True, report_to="none")
    return list(_get_merged_dataset(data.dataset, model, data, training, stage))


@pytest.mark.parametrize(("task", "stage"), [("sft", "sft"), ("dpo", "rm")])
def test_it_reads_every_row_with_as_many_tags_as_media(
    mixed: list[Question], written: Callable[..., Any], tmp_path: Path, task: str, stage: str
) -> None:
    folder, aside = written(LLaMAFactoryExporter, mixed, task=task, spans="whole")
    refused = {name for name, _ in aside}
    assert refused == ({"gone", "picture", "pictures", "open"} if task == "dpo" else {"gone"})
    kept = [question for question in mixed if question.id not in refused]
    rows = _aligned(folder, tmp_path, stage)
    assert len(rows) == len(kept)
    for row, question in zip(rows, kept, strict=True):
        (asked,) = [turn["content"] for turn in row["_prompt"]]
        assert asked.count("<video>") == len(row["_videos"] or []) == sum(medium.type == "video" for medium in question.media)
        assert asked.count("<image>") == len(row["_images"] or []) == sum(medium.type == "image" for medium in question.media)
        assert sorted([*(row["_videos"] or []), *(row["_images"] or [])]) == sorted(medium.path for medium in question.media)
        said = [turn["content"] for turn in row["_response"]]
        assert not any(tag in text for text in said for tag in ("<video>", "<image>", "<|")), "it counts tags over all turns"
        assert len(set(said)) == (2 if task == "dpo" else 1)


def test_its_template_puts_real_frames_where_the_tag_stands(mixed: list[Question], written: Callable[..., Any], tmp_path: Path) -> None:
    from llamafactory.data.mm_plugin import get_mm_plugin
    from transformers import AutoProcessor

    folder, _ = written(LLaMAFactoryExporter, [question for question in mixed if question.id in ("comma", "tag")])
    processor = AutoProcessor.from_pretrained(resolve_model("nano"))
    plugin = get_mm_plugin("qwen2_vl", image_token="<|image_pad|>", video_token="<|video_pad|>")
    for name, value in {"video_max_pixels": 64 * 64, "video_min_pixels": 256, "video_fps": 2.0, "video_maxlen": 8}.items():
        setattr(processor, name, value)
    for row in _aligned(folder, tmp_path, "sft"):
        messages = plugin.process_messages(row["_prompt"], [], row["_videos"], [], processor)
        text = messages[0]["content"]
        assert text.count("<|vision_start|>") == 1
        assert text.count("<|video_pad|>") > 1
