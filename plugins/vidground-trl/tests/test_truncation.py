"""No vision token is cut off in silence: all of a long prompt reaches the model, TRL has nothing that cuts it, and a cut one fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig
from vidground_trl.booking import BookingProcessor, MediaStore, unbook

from vidground_core import Clip
from vidground_core.media import resolve

Tiny = Callable[[str], Path]


def loaded(folder: Path) -> tuple[Any, BookingProcessor]:
    torch.set_num_threads(1)
    model, plain = (kind.from_pretrained(folder) for kind in (AutoModelForImageTextToText, AutoProcessor))
    store = MediaStore(plain)
    unbook(model, store)
    return model, BookingProcessor(plain, store)


def long_prompt(videos: list[Path], processor: BookingProcessor) -> Any:
    """Sixty videos in one prompt, more tokens than the model's 512 positions and than TRL's usual limit of 1,024."""
    clips = [resolve(Clip(path=str(videos[number % 6]), frames=20 + number % 3)) for number in range(60)]
    content: list[dict[str, Any]] = [{"type": "image", "image": clip} for clip in clips]
    chat = [{"role": "user", "content": [*content, {"type": "text", "text": "what color is the square ?"}]}]
    return processor.apply_chat_template([chat], tokenize=True, add_generation_prompt=True)


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_every_vision_token_of_a_long_prompt_reaches_the_model(tiny: Tiny, videos: list[Path], kind: str) -> None:
    model, processor = loaded(tiny(kind))
    made = long_prompt(videos, processor)
    (ids,), merge = made["input_ids"], model.config.vision_config.spatial_merge_size**2
    assert len(ids) > 1024
    wanted = int(made["image_grid_thw"].prod(-1).sum()) // merge
    assert ids.count(model.config.video_token_id) == wanted
    with torch.no_grad():
        inputs = {"input_ids": torch.tensor([ids]), "mm_token_type_ids": torch.tensor(made["mm_token_type_ids"])}
        out = model(**inputs, pixel_values=made["pixel_values"], image_grid_thw=made["image_grid_thw"])
    assert out.logits.shape[1] == len(ids)


def test_a_prompt_that_was_cut_fails_instead_of_training_on_half_a_video(tiny: Tiny, videos: list[Path]) -> None:
    model, processor = loaded(tiny("qwen2_5_vl"))
    made = long_prompt(videos, processor)
    ids, types = made["input_ids"][0][:1024], made["mm_token_type_ids"][0][:1024]
    inputs = {"input_ids": torch.tensor([ids]), "mm_token_type_ids": torch.tensor([types])}
    with pytest.raises(ValueError, match="tokens"), torch.no_grad():
        model(**inputs, pixel_values=made["pixel_values"], image_grid_thw=made["image_grid_thw"])


def test_trl_has_no_argument_that_cuts_prompts_of_grpo() -> None:
    names = {field.name for field in dataclasses.fields(GRPOConfig)}
    assert names.isdisjoint({"max_prompt_length", "max_length", "truncation", "truncation_mode"})
