"""Lengths of prompts against what training makes of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor
from vidground_trl.booking import BookingProcessor, MediaStore
from vidground_trl.collate import AnswerCollator
from vidground_trl.prompt_lengths import PromptLengths
from vidground_trl.rows import clips_of
from vidground_trl.sft import TRLSFTConfig

from vidground_core import MediaError, Question
from vidground_core.media import resolve

from .conftest import question

CONFIG = TRLSFTConfig(preset="nano", frames=4)


def row(each: Question) -> dict[str, Any]:
    clips = [resolve(clip) for clip in clips_of(each, CONFIG)]
    return {
        "prompt": [{"role": "user", "content": [*({"type": "image"} for _ in clips), {"type": "text", "text": each.text}]}],
        "images": clips,
    }


@pytest.mark.parametrize("video", ["native", "images"])
@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_it_counts_what_the_model_is_given(tiny: Callable[[str], Path], videos: list[Path], image: Path, kind: str, video: Any) -> None:
    plain = AutoProcessor.from_pretrained(tiny(kind))
    lengths = PromptLengths(plain, most=1000, row=row, shown={"video": video})
    questions = [question(0, videos[0]), question(1, image), question(2), question(3, videos[1], videos[2], image)]
    collate = AnswerCollator(BookingProcessor(plain, MediaStore(plain, video=video)))
    for each in questions:
        batch = collate([row(each) | {"completion": "red"}])
        assert lengths.tokens(each) == int((batch["labels"] < 0).sum())
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lengths.problem, questions * 4)) == [""] * 16


def test_too_long_a_prompt_and_one_that_does_not_decode_are_named(tiny: Callable[[str], Path], videos: list[Path], tmp_path: Path) -> None:
    plain = AutoProcessor.from_pretrained(tiny("qwen2_5_vl"))
    fits = question(0, videos[0])
    tokens = PromptLengths(plain, most=1, row=row, shown={}).tokens(fits)
    lengths = PromptLengths(plain, most=tokens, row=row, shown={})
    assert lengths.problem(fits) == ""
    assert lengths.problem(question(1, videos[0], videos[1])).endswith(f" tokens, more than max_prompt_tokens = {tokens}")
    gone = question(2, tmp_path / "gone.mp4")
    assert "does not exist" in lengths.problem(gone)
    with pytest.raises(MediaError):
        lengths.tokens(gone)
