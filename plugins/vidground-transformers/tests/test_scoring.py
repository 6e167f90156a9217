"""Option log-probabilities against a plain forward pass over prompt and continuation, one sequence at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from vidground_transformers.engine import TransformersEngine
from vidground_transformers.loading import Loaded

from vidground_core import Ask, Clip
from vidground_core.media import load_clip

TEXT = "What color is the square?\nA. red\nB. yellow"
TAILS = ("red", "B", "yellow and very red", "the square is blue .")


def plain(loaded: Loaded, ask: Ask) -> list[float]:
    """The reference: processor, one forward pass for each continuation, no padding, no cache."""
    processor, model = loaded.processor, loaded.model
    tokenizer = getattr(processor, "tokenizer", processor)
    (role, parts), films, pictures = ask.messages[0], [], []
    content: Any = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
            continue
        frames = load_clip(part)
        array = torch.tensor(frames.array).permute(0, 3, 1, 2)
        if part.type == "video" and getattr(processor, "video_processor", None):
            films.append((array, {"fps": frames.fps, "total_num_frames": len(array), "frames_indices": frames.seconds * frames.fps}))
            content.append({"type": "video"})
        else:
            pictures.extend(array)
            content.extend([{"type": "image"}] * len(array))
    if not loaded.pictures:
        content = "".join(part for part in parts if isinstance(part, str))
    prompt = tokenizer.apply_chat_template(
        [{"role": role, "content": content}], chat_template=processor.chat_template, tokenize=False, add_generation_prompt=True
    )
    media: dict[str, Any] = {"images": pictures} if pictures else {}
    if films:
        media |= {"videos": [array for array, _ in films], "video_metadata": [times for _, times in films], "do_sample_frames": False}
    sums = []
    for tail in ask.continuations:
        # Tokenised apart: a continuation begins a token of its own.
        head = processor(text=[prompt], return_tensors="pt", **media) if media else tokenizer([prompt], return_tensors="pt")
        added = tokenizer(tail, add_special_tokens=False, return_tensors="pt")["input_ids"]
        start = head["input_ids"].shape[1]
        head["input_ids"] = torch.cat([head["input_ids"], added], -1)
        head["attention_mask"] = torch.ones_like(head["input_ids"])
        if "mm_token_type_ids" in head:
            head["mm_token_type_ids"] = torch.cat([head["mm_token_type_ids"], torch.zeros_like(added)], -1)
        given = {name: torch.as_tensor(value) for name, value in head.items() if name not in ("video_metadata", "token_type_ids")}
        with torch.no_grad():
            logits = model(**given, use_cache=False).logits[0].float().log_softmax(-1)
        sums.append(sum(float(logits[start - 1 + place, token]) for place, token in enumerate(added[0])))
    return sums


def asks(video: Path) -> list[Ask]:
    clips = [Clip(str(video), frames=frames, view=view) for frames, view in ((8, "ordered"), (3, "ordered"), (8, "reversed"))]
    shown = [Ask((("user", (clip, TEXT)),), TAILS) for clip in clips]
    return [*shown, Ask((("user", (TEXT,)),), TAILS[:2]), Ask((("user", ("red?",)),), TAILS)]


@pytest.mark.parametrize("model", ["nano", "qwen2", "qwen3", "llava"])
def test_against_a_plain_forward_pass(
    model: str, video: Path, started: Callable[..., TransformersEngine], request: pytest.FixtureRequest
) -> None:
    engine = started(request.getfixturevalue(model))
    given = asks(video)
    for ask, reply in zip(given, engine.answer_batch(given), strict=True):
        assert reply.status == "answered", reply.error
        assert reply.logprobs == pytest.approx(plain(engine._running.loaded, ask), abs=1e-4)


def test_a_text_model_against_a_plain_forward_pass(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = started(llama)
    given = [Ask((("user", (text,)),), TAILS) for text in (TEXT, "short", TEXT + TEXT)]
    for ask, reply in zip(given, engine.answer_batch(given), strict=True):
        assert reply.logprobs == pytest.approx(plain(engine._running.loaded, ask), abs=1e-4)
        assert reply.tokens == tuple(len(tail) for tail in TAILS)


@pytest.mark.parametrize("model", ["nano", "qwen3", "llama"])
def test_neighbours_do_not_matter(
    model: str, video: Path, started: Callable[..., TransformersEngine], request: pytest.FixtureRequest
) -> None:
    engine = started(request.getfixturevalue(model))
    given = [ask for ask in asks(video) if model != "llama" or not ask.clips]
    together = engine.answer_batch(given)
    for ask, reply in zip(given, together, strict=True):
        (alone,) = engine.answer_batch([ask])
        assert alone.logprobs == pytest.approx(reply.logprobs, abs=1e-4)
    for size in (1, 200):
        small = started(request.getfixturevalue(model), batch_tokens=size).answer_batch(given)
        for one, other in zip(small, together, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_what_is_shown_matters(nano: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    engine = started(nano)
    views = [Ask((("user", (Clip(str(video), view=view), TEXT)),), TAILS) for view in ("ordered", "blank", "shuffled", "single")]
    scores = [engine.answer_batch([ask])[0].logprobs for ask in [*views, Ask((("user", (TEXT,)),), TAILS)]]
    assert len({round(values[0], 3) for values in scores}) == 5


def test_several_clips_and_images_in_one_ask(nano: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    engine = started(nano)
    first, second = Clip(str(video), frames=4), Clip(str(video), frames=2, view="reversed")
    given = [Ask((("user", (first, "and", second, TEXT)),), TAILS), Ask((("user", (second, "and", first, TEXT)),), TAILS)]
    one, other = engine.answer_batch(given)
    assert one.logprobs != pytest.approx(other.logprobs, abs=1e-4)
    for ask, reply in zip(given, (one, other), strict=True):
        assert reply.logprobs == pytest.approx(plain(engine._running.loaded, ask), abs=1e-4)


def test_the_vision_tower_runs_once_a_question(nano: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    engine = started(nano)
    rows: list[int] = []
    tower = engine._running.loaded.model.model.visual
    handle = tower.register_forward_hook(lambda module, args, kwargs, out: rows.append(len(args[0])), with_kwargs=True)
    try:
        engine.answer_batch([Ask((("user", (Clip(str(video), frames=8), TEXT)),), TAILS)])
    finally:
        handle.remove()
    # 8 frames of 56 x 56: 4 temporal patches of 4 x 4.
    assert rows == [64]


def test_a_continuation_without_tokens_is_certain(llama: str, started: Callable[..., TransformersEngine]) -> None:
    (reply,) = started(llama).answer_batch([Ask((("user", (TEXT,)),), ("", "red"))])
    assert reply.logprobs[0] == 0.0
    assert reply.tokens == (0, 3)


def test_probabilities_of_all_next_tokens_sum_to_one(llama: str, started: Callable[..., TransformersEngine]) -> None:
    letters = tuple(chr(code) for code in range(32, 127))
    (reply,) = started(llama).answer_batch([Ask((("user", (TEXT,)),), letters)])
    assert 0.01 < sum(torch.tensor(reply.logprobs).exp()) < 1.0


def test_options_do_not_tie_in_bfloat16(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = started(llama, dtype="bfloat16")
    loaded = engine._running.loaded
    ask = Ask((("user", (TEXT,)),), tuple(chr(code) for code in range(33, 127)))
    ids = engine._running.encoder.encode(ask).ids
    with torch.no_grad():
        hidden = loaded.model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]
        expected = (loaded.model.lm_head.weight.float() @ hidden.float()).log_softmax(-1)
        rounded = loaded.model.lm_head(hidden)
    (reply,) = engine.answer_batch([ask])
    tokens = [engine._running.encoder.tokenizer(tail, add_special_tokens=False)["input_ids"][0] for tail in ask.continuations]
    assert reply.logprobs == pytest.approx(expected[tokens].tolist(), abs=1e-3)
    assert len(set(rounded[tokens].tolist())) < len(set(reply.logprobs)) == len(tokens)
    assert not loaded.model.lm_head._forward_hooks


@pytest.mark.parametrize("model", ["nano", "qwen2", "qwen3", "llava"])
def test_images_beside_videos_and_text(
    model: str, video: Path, tmp_path: Path, started: Callable[..., TransformersEngine], request: pytest.FixtureRequest
) -> None:
    frame = load_clip(Clip(str(video), frames=1)).array[0]
    pictures = {"png": frame, "jpg": frame[::-1]}
    for kind, array in pictures.items():
        Image.fromarray(array).save(tmp_path / f"picture.{kind}")
    shown = [Clip(str(tmp_path / f"picture.{kind}"), type="image") for kind in pictures]
    given = [Ask((("user", (clip, TEXT)),), TAILS) for clip in (shown[0], Clip(str(video), frames=4), shown[1])]
    given += [Ask((("user", (*shown, TEXT)),), TAILS), Ask((("user", (TEXT,)),), TAILS), Ask((("user", (shown[0], TEXT)),))]
    engine = started(request.getfixturevalue(model), max_new_tokens=4)
    replies = engine.answer_batch(given)
    for ask, reply in zip(given[:-1], replies, strict=False):
        assert reply.logprobs == pytest.approx(plain(engine._running.loaded, ask), abs=1e-4)
    assert replies[0].logprobs != pytest.approx(replies[2].logprobs, abs=1e-4)
    assert replies[-1].status == "answered"
