"""OpenRLHF's own loader reads what is exported; it runs in an environment of its own (make test-backend-openrlhf)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vidground_core import Question
from vidground_core.exports.openrlhf import OpenRLHFExporter
from vidground_core.models import resolve_model

pytest.importorskip("openrlhf", reason="openrlhf is not installed here: make test-backend-openrlhf")
pytestmark = pytest.mark.filterwarnings("default")


class _Strategy:
    """What its loader asks of a training strategy."""

    args = SimpleNamespace(
        data=SimpleNamespace(input_key="prompt", label_key="label", apply_chat_template=True, image_key="images"), use_ms=False
    )

    def print(self, *_: object) -> None:
        """Nothing is printed."""

    def is_rank_0(self) -> bool:
        """No progress bar."""
        return False


def _dataset(folder: Path) -> Any:
    from openrlhf.datasets import PromptDataset
    from openrlhf.datasets.utils import blending_datasets
    from transformers import AutoProcessor

    rows = blending_datasets(str(folder / "train.jsonl"), None, _Strategy(), dataset_split="train")
    return PromptDataset(rows, AutoProcessor.from_pretrained(resolve_model("nano")), _Strategy())


def test_it_reads_every_row_with_as_many_tags_as_pictures(mixed: list[Question], written: Callable[..., Any]) -> None:
    from PIL import Image

    folder, aside = written(OpenRLHFExporter, mixed, frames=4, pixels=1600)
    assert [name for name, _ in aside] == ["gone"]
    dataset = _dataset(folder)
    kept = [question for question in mixed if question.id != "gone"]
    assert len(dataset) == len(kept)
    for (source, prompt, label, images), question in zip(dataset, kept, strict=True):
        wanted = sum(4 if medium.type == "video" else 1 for medium in question.media)
        assert prompt.count("<|image_pad|>") == len(images or []) == wanted
        assert "<video>" not in prompt
        assert json.loads(label)["answer"] == question.answer
        assert source == (question.source or "vidground")
        for path in images or []:
            with Image.open(path) as opened:
                assert opened.width * opened.height <= (1600 if path.endswith(".jpg") else 56 * 84)
