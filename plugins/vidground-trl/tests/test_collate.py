from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.booking import SUPPORTED, BookingProcessor, MediaStore, unbook
from vidground_trl.collate import AnswerCollator, Turns

from vidground_core import Clip
from vidground_core.media import load_clip, resolve

ANSWERS = ["red", "green", "the blue one", "yellow"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def row(answer: str, text: str, *paths: Path) -> dict[str, Any]:
    clips = [resolve(Clip(str(path), type="image" if path.suffix == ".png" else "video", frames=4)) for path in paths]
    content = [{"type": "image"} for _ in clips] + [{"type": "text", "text": text}]
    return {"prompt": [{"role": "user", "content": content}], "images": clips, "completion": answer}


def mixed(videos: list[Path], image: Path) -> list[dict[str, Any]]:
    """A video, two videos, an image, text alone."""
    asked = "what color is the square ?"
    media = [[videos[0]], [videos[1], videos[2]], [image], []]
    return [row(answer, asked, *paths) for answer, paths in zip(ANSWERS, media, strict=True)]


def collator(folder: Path) -> AnswerCollator:
    plain = AutoProcessor.from_pretrained(folder)
    return AnswerCollator(BookingProcessor(plain, MediaStore(plain)))


def alone(folder: Path, each: dict[str, Any]) -> torch.Tensor:
    """The summed loss of a row's answer, by the model's own processor and without anything of ours."""
    processor, model = AutoProcessor.from_pretrained(folder), AutoModelForImageTextToText.from_pretrained(folder)
    content = [{"type": clip.type} for clip in each["images"]] + each["prompt"][0]["content"][-1:]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    videos, images, metadata = [], [], []
    for clip in each["images"]:
        frames = load_clip(clip)
        pixels = torch.from_numpy(frames.array.copy()).permute(0, 3, 1, 2)
        if clip.type == "image":
            images.append(pixels[0])
        else:
            videos.append(pixels)
            times = (frames.seconds * frames.fps).tolist()
            metadata.append({"total_num_frames": len(pixels), "fps": frames.fps, "frames_indices": times})
    media = {"videos": videos, "video_metadata": metadata, "do_sample_frames": False} if videos else {}
    media |= {"images": images} if images else {}
    inputs = processor(text=[f"{prompt}{each['completion']}<|im_end|>"], **media, return_tensors="pt")
    answer = len(processor.tokenizer(f"{each['completion']}<|im_end|>")["input_ids"])
    logits = model(**inputs).logits[0, -answer - 1 : -1]
    return torch.nn.functional.cross_entropy(logits, inputs["input_ids"][0, -answer:], reduction="sum")


@pytest.mark.parametrize("kind", SUPPORTED)
def test_a_mixed_batch_has_the_loss_of_its_rows_alone(kind: str, tiny: Callable[[str], Path], videos: list[Path], image: Path) -> None:
    rows = mixed(videos, image)
    folder = tiny(kind)
    made = collator(folder)
    batch = made(rows)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    unbook(model, made._turns._processor.store)
    loss = model(**batch).loss
    learnt = int((batch["labels"] >= 0).sum())
    expected = sum(alone(folder, each) for each in rows) / learnt  # type: ignore[arg-type]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_only_the_answer_and_the_end_of_the_turn_are_learnt(tiny: Callable[[str], Path], videos: list[Path], image: Path) -> None:
    made = collator(tiny("qwen2_5_vl"))
    batch = made(mixed(videos, image))
    tokenizer = made._turns._tokenizer
    for answer, ids, labels, mask in zip(ANSWERS, batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
        assert tokenizer.decode(labels[labels >= 0]).replace(" ", "") == f"{answer}<|im_end|>".replace(" ", "")
        assert torch.equal(ids[labels >= 0], labels[labels >= 0])
        # Nothing is cut: the row ends with its answer, and only padding follows.
        assert int((labels >= 0).nonzero().max()) + 1 == int(mask.sum())
        assert bool((mask[int(mask.sum()) :] == 0).all())


def test_every_vision_token_keeps_its_place_however_long_the_row(tiny: Callable[[str], Path], videos: list[Path]) -> None:
    made = collator(tiny("qwen2_5_vl"))
    batch = made([row("red", "what color is the square ?", *(videos * 60))])
    clips = batch["image_grid_thw"].prod(-1).sum() // 4
    token = made._turns._tokenizer.convert_tokens_to_ids("<|video_pad|>")
    assert int((batch["input_ids"] == token).sum()) == int(clips)
    assert batch["input_ids"].shape[1] > 1024


def test_a_batch_of_text_alone_has_no_pixels(tiny: Callable[[str], Path]) -> None:
    batch = collator(tiny("qwen2_5_vl"))([row("red", "what color is an apple ?")])
    assert set(batch) == {"input_ids", "attention_mask", "mm_token_type_ids", "labels"}


def test_the_turn_ends_as_the_chat_template_ends_it(tiny: Callable[[str], Path]) -> None:
    plain = AutoProcessor.from_pretrained(tiny("qwen2_5_vl"))
    turns = Turns(BookingProcessor(plain, MediaStore(plain)))
    assert turns.answer("red") == plain.tokenizer("red<|im_end|>")["input_ids"]


def test_clips_of_batches_that_wait_stay_at_hand(tiny: Callable[[str], Path], videos: list[Path]) -> None:
    store = MediaStore(AutoProcessor.from_pretrained(tiny("qwen2_5_vl")), max_bytes=1, batches=2)
    clips = [resolve(Clip(str(path), type="video", frames=4)) for path in videos[:3]]
    for clip in clips[:2]:
        store.hold([clip])
    assert store.find(clips[0]).number == 0
    store.hold([clips[2]])
    assert store.find(clips[1]).number == 1
    with pytest.raises(KeyError):
        store.find(clips[0])
