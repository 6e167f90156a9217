from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.booking import SUPPORTED, BookingProcessor, MediaStore, unbook, unsampled_tokens

from vidground_core import Clip
from vidground_core.media import load_clip, resolve

pytestmark = pytest.mark.parametrize("kind", SUPPORTED)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def clip(path: Path) -> Clip:
    return resolve(Clip(str(path), type="image" if path.suffix == ".png" else "video", frames=4))


def chat(text: str, *clips: Clip) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image", "image": each} for each in clips] + [{"type": "text", "text": text}]}]


def booked(folder: Path) -> tuple[Any, BookingProcessor]:
    plain = AutoProcessor.from_pretrained(folder)
    return AutoModelForImageTextToText.from_pretrained(folder), BookingProcessor(plain, MediaStore(plain))


def inputs(processor: BookingProcessor, chats: list[Any]) -> dict[str, Any]:
    """What TRL gives the model: ids of the tokenizing call, padded, and booked clips of the second call."""
    processor.apply_chat_template(chats, tokenize=True, add_generation_prompt=True)
    texts = processor.apply_chat_template(chats, add_generation_prompt=True)
    clips = [[part["image"] for part in message["content"] if part["type"] == "image"] for chat in chats for message in chat]
    return dict(processor(images=clips, text=texts, padding=True, return_tensors="pt"))


def plain_inputs(folder: Path, chats: list[Any]) -> dict[str, Any]:
    """The same chats by the model's own processor in one call, every clip decoded anew."""
    processor = AutoProcessor.from_pretrained(folder)
    texts, videos, images, metadata = [], [], [], []
    for conversation in chats:
        parts = conversation[0]["content"]
        real = [{"type": part["image"].type} if part["type"] == "image" else part for part in parts]
        texts.append(processor.apply_chat_template([{"role": "user", "content": real}], add_generation_prompt=True))
        for part in parts:
            if part["type"] == "image":
                frames = load_clip(part["image"])
                pixels = torch.from_numpy(frames.array.copy()).permute(0, 3, 1, 2)
                if part["image"].type == "image":
                    images.append(pixels[0])
                else:
                    videos.append(pixels)
                    times = (frames.seconds * frames.fps).tolist()
                    metadata.append({"total_num_frames": len(pixels), "fps": frames.fps, "frames_indices": times})
    media = {"videos": videos, "video_metadata": metadata, "do_sample_frames": False} if videos else {}
    media |= {"images": images} if images else {}
    return dict(processor(text=texts, **media, padding=True, padding_side="left", return_tensors="pt"))


def loss_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[float, dict[str, torch.Tensor]]:
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    model.zero_grad()
    hidden = model.base_model(**batch).last_hidden_state
    loss = torch.nn.functional.cross_entropy(model.lm_head(hidden)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    loss.backward()
    return loss.item(), {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def group(videos: list[Path], image: Path) -> list[Any]:
    """Two videos of different lengths, each in a group of three, a row of two videos, one with an image, one of text alone."""
    first, second, third = (clip(path) for path in videos[:3])
    chats = [chat("what color is the square ?", first)] * 3 + [chat("how many ?", second)] * 3
    return [*chats, chat("which is first ?", second, third), chat("what color ?", clip(image), first), chat("what color is a banana ?")]


def test_rows_are_encoded_as_by_the_models_own_processor(kind: str, tiny: Callable[[str], Path], videos: list[Path], image: Path) -> None:
    chats = group(videos, image)
    _, processor = booked(tiny(kind))
    ours, theirs = inputs(processor, chats), plain_inputs(tiny(kind), chats)
    for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        assert torch.equal(torch.as_tensor(ours[name]), torch.as_tensor(theirs[name])), name
    assert processor.store.processed == 4


@pytest.mark.parametrize("share", [True, False])
def test_loss_and_gradients_are_those_of_ordinary_video_input(
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


@pytest.mark.parametrize("share", [True, False])
def test_the_vision_tower_runs_once_for_each_distinct_clip(kind: str, share: bool, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    chats = [chat("what color is the square ?", clip(videos[0]))] * 8 + [chat("how many ?", clip(videos[1]))] * 8
    model, processor = booked(tiny(kind))
    unbook(model, processor.store, share=share)
    seen: list[int] = []
    model.base_model.visual.register_forward_pre_hook(lambda _, args, kwargs: seen.append(len(args[0])), with_kwargs=True)
    model.base_model(**inputs(processor, chats))
    each = len(processor.store[0].patches)
    assert seen == [2 * each if share else 16 * each]


def test_vision_tokens_are_never_sampled(kind: str, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    forbidden = unsampled_tokens(model, processor.tokenizer)
    assert {model.config.video_token_id, model.config.image_token_id} <= set(forbidden)
    likely = torch.zeros(model.config.get_text_config().vocab_size)
    likely[forbidden] = 100.0
    model.lm_head.register_forward_hook(lambda _module, _args, logits: logits + likely)
    batch = inputs(processor, [chat("what color is the square ?", clip(videos[0]))] * 4)
    settings = {"do_sample": True, "max_new_tokens": 5, "top_k": 0}
    width = batch["input_ids"].shape[1]
    free = model.generate(**batch, **settings)[:, width:]
    assert set(free.flatten().tolist()) <= {*forbidden, processor.tokenizer.pad_token_id}
    kept = model.generate(**batch, **settings, suppress_tokens=forbidden)[:, width:]
    assert not set(kept.flatten().tolist()) & set(forbidden)


def test_generation_from_booked_input_is_that_from_ordinary_input(
    kind: str, tiny: Callable[[str], Path], videos: list[Path], image: Path
) -> None:
    chats = group(videos, image)
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    settings = {"do_sample": False, "max_new_tokens": 4}
    ours = model.generate(**inputs(processor, chats), **settings)
    ordinary = AutoModelForImageTextToText.from_pretrained(tiny(kind)).generate(**plain_inputs(tiny(kind), chats), **settings)
    assert torch.equal(ours, ordinary)


def test_what_is_saved_is_the_ordinary_checkpoint(kind: str, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert type(AutoModelForImageTextToText.from_pretrained(tmp_path)) is type(model)
    assert type(AutoProcessor.from_pretrained(tmp_path)) is type(processor.plain)
    assert AutoProcessor.from_pretrained(tmp_path).to_dict() == AutoProcessor.from_pretrained(tiny(kind)).to_dict()


def test_the_store_is_bounded_but_keeps_the_current_batch(kind: str, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    store = MediaStore(AutoProcessor.from_pretrained(tiny(kind)), max_bytes=1)
    first, second, third = (clip(path) for path in videos[:3])
    store.hold([first, second, first])
    assert store.processed == 2
    assert store.find(first).number != store.find(second).number
    store.hold([second, third])
    assert store.processed == 3
    with pytest.raises(KeyError):
        store.find(first)
    store.hold([first])
    assert store.processed == 4
