"""Every sampled frame as an image of its own after its time: what the model gets is what its own processor makes of those images."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.booking import SUPPORTED, BookingProcessor, MediaStore, unbook
from vidground_trl.collate import AnswerCollator, PairCollator
from vidground_trl.methods.temporal import shuffled_clips

from vidground_core import Clip
from vidground_core.media import load_clip

from .test_booking import chat, clip, group, inputs, loss_and_gradients

all_kinds = pytest.mark.parametrize("kind", SUPPORTED)
PIXELS = {"min_pixels": 1568, "max_pixels": 1568}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def booked(folder: Path, **limits: int) -> tuple[Any, BookingProcessor]:
    plain = AutoProcessor.from_pretrained(folder)
    return AutoModelForImageTextToText.from_pretrained(folder), BookingProcessor(plain, MediaStore(plain, video="images", **limits))


def content(parts: list[Any]) -> tuple[list[dict[str, str]], list[torch.Tensor]]:
    """Those parts of a chat and their images, written out by hand."""
    shown: list[dict[str, str]] = []
    images = []
    for part in parts:
        if part["type"] == "text":
            shown.append(part)
            continue
        frames = load_clip(part["image"])
        for second, pixels in zip(frames.seconds, torch.from_numpy(frames.array.copy()).permute(0, 3, 1, 2), strict=True):
            time = [{"type": "text", "text": f"{second:.1f}s:"}] if part["image"].type == "video" else []
            shown += [*time, {"type": "image"}]
            images.append(pixels)
    return shown, images


def plain_inputs(folder: Path, chats: list[Any], **size: Any) -> dict[str, Any]:
    """The same chats by the model's own processor in one call."""
    processor = AutoProcessor.from_pretrained(folder)
    texts, images = [], []
    for conversation in chats:
        parts, own = content(conversation[0]["content"])
        texts.append(processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True))
        images += own
    return dict(processor(text=texts, images=images, **size, padding=True, padding_side="left", return_tensors="pt"))


@all_kinds
def test_rows_are_encoded_as_by_the_models_own_processor(kind: str, tiny: Callable[[str], Path], videos: list[Path], image: Path) -> None:
    chats = group(videos, image)
    _, processor = booked(tiny(kind))
    ours, theirs = inputs(processor, chats), plain_inputs(tiny(kind), chats)
    for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        assert torch.equal(torch.as_tensor(ours[name]), torch.as_tensor(theirs[name])), name
    assert processor.store.processed == 4
    assert ours["image_grid_thw"].prod(-1).sum() == theirs["image_grid_thw"].prod(-1).sum() == len(theirs["pixel_values"])


@all_kinds
def test_a_video_has_the_tokens_of_its_frames_twice_those_of_video_tokens(
    kind: str, tiny: Callable[[str], Path], videos: list[Path]
) -> None:
    each, chats = clip(videos[0]), [chat("what color is the square ?", clip(videos[0]))]
    _, processor = booked(tiny(kind))
    shown = inputs(processor, chats)["input_ids"][0].tolist()
    plain = AutoProcessor.from_pretrained(tiny(kind))
    native = inputs(BookingProcessor(plain, MediaStore(plain)), chats)["input_ids"][0].tolist()
    image, video = (plain.tokenizer.convert_tokens_to_ids(token) for token in (plain.image_token, plain.video_token))
    assert (each.frames, shown.count(image), native.count(video)) == (4, 4 * 4, 2 * 4)
    assert shown.count(video) == native.count(image) == 0


def test_each_frame_follows_its_time(tiny: Callable[[str], Path], videos: list[Path]) -> None:
    each = replace(clip(videos[0]), start=0.5)
    chats = [chat("what color is the square ?", each)]
    _, processor = booked(tiny("qwen2_5_vl"))
    processor.apply_chat_template(chats, tokenize=True, add_generation_prompt=True)
    (text,) = processor.apply_chat_template(chats, add_generation_prompt=True)
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    times = [f"{second:.1f}s:" for second in load_clip(each).seconds]
    assert times[0] in ("0.5s:", "0.6s:")
    assert re.sub(r"\s", "", text) == re.sub(
        r"\s", "", "".join(f"{time}{image}" for time in times) + "what color is the square ?<|im_start|>"
    )


@all_kinds
@pytest.mark.parametrize("share", [True, False])
def test_loss_and_gradients_are_those_of_ordinary_images(
    kind: str, share: bool, tiny: Callable[[str], Path], videos: list[Path], image: Path
) -> None:
    chats = group(videos, image)
    model, processor = booked(tiny(kind))
    unbook(model, processor.store, share=share)
    loss, gradients = loss_and_gradients(model, inputs(processor, chats))
    ordinary = AutoModelForImageTextToText.from_pretrained(tiny(kind))
    expected, expected_gradients = loss_and_gradients(ordinary, plain_inputs(tiny(kind), chats))
    assert loss == pytest.approx(expected, abs=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    assert any("visual" in name and value.abs().sum() > 0 for name, value in gradients.items())
    for name, value in gradients.items():
        torch.testing.assert_close(value, expected_gradients[name], rtol=1e-3, atol=1e-5, msg=name)


@all_kinds
@pytest.mark.parametrize("share", [True, False])
def test_the_vision_tower_runs_once_for_each_distinct_clip(kind: str, share: bool, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    chats = [chat("what color is the square ?", clip(videos[0]))] * 8 + [chat("how many ?", clip(videos[1]))] * 8
    model, processor = booked(tiny(kind))
    unbook(model, processor.store, share=share)
    seen: list[int] = []
    model.base_model.visual.register_forward_pre_hook(lambda _, args, kwargs: seen.append(len(args[0])), with_kwargs=True)
    model.base_model(**inputs(processor, chats))
    each = len(processor.store[0].patches)
    assert each == 4 * 16
    assert seen == [2 * each if share else 16 * each]


@all_kinds
def test_generation_is_that_from_ordinary_images(kind: str, tiny: Callable[[str], Path], videos: list[Path], image: Path) -> None:
    chats = group(videos, image)
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    settings = {"do_sample": False, "max_new_tokens": 4}
    ours = model.generate(**inputs(processor, chats), **settings)
    ordinary = AutoModelForImageTextToText.from_pretrained(tiny(kind)).generate(**plain_inputs(tiny(kind), chats), **settings)
    assert torch.equal(ours, ordinary)


@all_kinds
def test_limits_of_pixels_are_those_of_a_frame(kind: str, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    chats = [chat("what color is the square ?", clip(videos[0]))]
    _, processor = booked(tiny(kind), **PIXELS)
    ours = inputs(processor, chats)
    theirs = plain_inputs(tiny(kind), chats, size={"shortest_edge": 1568, "longest_edge": 1568})
    assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()
    assert len(ours["pixel_values"]) == len(theirs["pixel_values"]) < 4 * 16
    assert torch.equal(processor.store[0].patches, theirs["pixel_values"])


@all_kinds
def test_shuffled_frames_stand_after_the_times_in_order(kind: str, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    """T-GRPO's rollouts on shuffled frames: other pixels at the same times, and both clips at hand as different ones."""
    ordered = clip(videos[0])
    (shuffled,) = shuffled_clips([ordered], seed=0, step=3)
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    straight, mixed = (inputs(processor, [chat("what color is the square ?", each)]) for each in (ordered, shuffled))
    assert straight["input_ids"].tolist() == mixed["input_ids"].tolist()
    one, other = (load_clip(each).array for each in (ordered, shuffled))
    assert sorted(frame.tobytes() for frame in one) == sorted(frame.tobytes() for frame in other)
    found = loss_and_gradients(model, mixed)[0]
    ordinary = AutoModelForImageTextToText.from_pretrained(tiny(kind))
    expected = loss_and_gradients(ordinary, plain_inputs(tiny(kind), [chat("what color is the square ?", shuffled)]))[0]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("view", ["single", "blank"])
def test_other_views_are_shown_as_they_are(view: Any, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    each = replace(clip(videos[0]), view=view)
    chats = [chat("what color is the square ?", each)]
    model, processor = booked(tiny("qwen2_5_vl"))
    unbook(model, processor.store)
    ours, theirs = inputs(processor, chats), plain_inputs(tiny("qwen2_5_vl"), chats)
    assert torch.as_tensor(ours["input_ids"]).tolist() == theirs["input_ids"].tolist()
    assert torch.equal(processor.store[0].patches, theirs["pixel_values"])
    assert processor.store[0].parts == (1 if view == "single" else 4)


@all_kinds
def test_taught_answers_have_the_loss_of_ordinary_images(kind: str, tiny: Callable[[str], Path], videos: list[Path], image: Path) -> None:
    """The collators of SFT and DPO, on a video beside a video and an image."""
    clips: list[list[Clip]] = [[clip(videos[0])], [clip(videos[1]), clip(image)]]
    answers = ["red", "green"]
    asked = [[{"role": "user", "content": [*({"type": "image"} for _ in own), {"type": "text", "text": "what ?"}]}] for own in clips]
    shown = zip(asked, clips, answers, strict=True)
    rows = [{"prompt": p, "images": c, "completion": a, "chosen": a, "rejected": a} for p, c, a in shown]
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    batch = AnswerCollator(processor)(rows)
    loss = model(**batch).loss
    ordinary, plain = AutoModelForImageTextToText.from_pretrained(tiny(kind)), AutoProcessor.from_pretrained(tiny(kind))
    total = torch.zeros(())
    for own, answer in zip(clips, answers, strict=True):
        parts, images = content([*({"type": "image", "image": each} for each in own), {"type": "text", "text": "what ?"}])
        prompt = plain.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        given = plain(text=[f"{prompt}{answer}<|im_end|>"], images=images, return_tensors="pt")
        length = len(plain.tokenizer(f"{answer}<|im_end|>")["input_ids"])
        logits = ordinary(**given).logits[0, -length - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(logits, given["input_ids"][0, -length:], reduction="sum")
    torch.testing.assert_close(loss, total / int((batch["labels"] >= 0).sum()), rtol=1e-5, atol=1e-5)
    pairs = PairCollator(processor)(rows)
    assert torch.equal(pairs["input_ids"], batch["input_ids"].repeat(2, 1))
