"""verl's own classes read what is exported; they run in an environment of their own (make test-backend-verl)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Question
from vidground_core.exports.verl import VerlExporter
from vidground_core.models import resolve_model

pytest.importorskip("verl", reason="verl is not installed here: make test-backend-verl")
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def processor() -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(resolve_model("nano"))


def _opened(folder: Path, processor: Any, tmp_path: Path, **options: Any) -> Any:
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    settings = {"cache_dir": str(tmp_path / "cache"), "max_prompt_length": 100_000, "filter_overlong_prompts": False} | options
    return RLHFDataset([str(folder / "train.parquet")], processor.tokenizer, OmegaConf.create(settings), processor)


def test_its_dataset_reads_every_row_and_puts_the_media_where_the_tags_stand(
    mixed: list[Question], written: Callable[..., Any], processor: Any, tmp_path: Path
) -> None:
    folder, aside = written(VerlExporter, mixed)
    dataset = _opened(folder, processor, tmp_path)
    assert [name for name, _ in aside] == ["gone"]
    kept = [question for question in mixed if question.id != "gone"]
    assert len(dataset) == len(kept)
    for row, question in zip(dataset, kept, strict=True):
        parts = row["raw_prompt"][0]["content"]
        shown = [part["type"] for part in parts if part["type"] != "text"] if isinstance(parts, list) else []
        assert shown == [medium.type for medium in question.media]
        assert row["extra_info"]["qid"] == question.id
        assert row["reward_model"]["style"] == "rule"
        assert row["reward_model"]["ground_truth"] == (
            "ABCD"[question.options.index(question.answer)] if question.options else question.answer
        )


def test_it_decodes_the_videos_and_counts_their_tokens(
    mixed: list[Question], written: Callable[..., Any], processor: Any, tmp_path: Path
) -> None:
    real = [question for question in mixed if question.id in ("plain", "comma", "tag", "picture", "span")]
    folder, _ = written(VerlExporter, real, frames=4)
    dataset = _opened(folder, processor, tmp_path, filter_overlong_prompts=True, filter_overlong_prompts_workers=1)
    assert len(dataset) == len(real), "a row whose media do not decode counts as too long"
    for row, question in zip(dataset, real, strict=True):
        images, videos, _ = dataset._process_multi_modal_info(row["raw_prompt"], 14, dataset.config)
        assert [len(found or []) for found in (images, videos)] == [int(m == question.media[0].type) for m in ("image", "video")]
        if question.id == "span":
            (frames, facts) = videos[0]
            seconds = [index / facts["fps"] for index in facts["frames_indices"]]
            assert min(seconds) >= 0.5
            assert max(seconds) <= 1.5
            assert len(frames) == 4


def test_frames_a_second_reach_its_sampler(mixed: list[Question], written: Callable[..., Any], processor: Any, tmp_path: Path) -> None:
    folder, _ = written(VerlExporter, mixed[:1], fps=4.0)
    row = _opened(folder, processor, tmp_path)[0]
    (video,) = [part for part in row["raw_prompt"][0]["content"] if part["type"] == "video"]
    assert video["fps"] == 4.0
    assert video["video"].startswith("file:///")


def test_its_sft_dataset_reads_the_messages(mixed: list[Question], written: Callable[..., Any], processor: Any, tmp_path: Path) -> None:
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    some = [question for question in mixed if question.id in ("plain", "text", "picture")]
    folder, _ = written(VerlExporter, some, task="sft", frames=4)
    settings = OmegaConf.create({"max_length": 4096, "truncation": "error", "pad_mode": "no_padding"})
    dataset = MultiTurnSFTDataset([str(folder / "train.parquet")], processor.tokenizer, settings, processor)
    said = [processor.tokenizer.decode(row["input_ids"][row["loss_mask"].bool()]) for row in dataset]
    assert [text[:1] for text in said] == ["B", "3", "B"]
