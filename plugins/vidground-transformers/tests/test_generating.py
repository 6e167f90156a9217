from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from vidground_transformers.engine import TransformersEngine
from vidground_transformers.generating import _drawn

from vidground_core import Ask, Clip

TEXT = "What color is the square?\nA. red\nB. yellow"


def drawing(text: str = TEXT, *, sample: int = 0, **settings: float) -> Ask:
    return Ask((("user", (text,)),), sampling=tuple({"temperature": 1.0, "max_tokens": 5.0, **settings}.items()), sample=sample)


def greedy(engine: TransformersEngine, text: str, most: int) -> str:
    """The reference: the likeliest token again and again, whole prompt each time, vision tokens and padding left out."""
    running = engine._running
    ids = running.encoder.encode(Ask((("user", (text,)),))).ids
    start = len(ids)
    for _ in range(most):
        with torch.no_grad():
            logits = running.loaded.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        logits[list(running.loaded.vocabulary.barred)] = -math.inf
        token = int(logits.argmax())
        if token in running.loaded.vocabulary.ends:
            break
        ids.append(token)
    return running.encoder.tokenizer.decode(ids[start:], skip_special_tokens=True)


@pytest.mark.parametrize("model", ["nano", "llama"])
def test_greedy_answers_are_the_models_own(model: str, started: Callable[..., TransformersEngine], request: pytest.FixtureRequest) -> None:
    engine = started(request.getfixturevalue(model), max_new_tokens=12)
    texts = [TEXT, "red ?", "which one comes first , the circle or the square ?"]
    cold = [Ask((("user", (text,)),)) for text in texts]
    zero = [Ask((("user", (text,)),), sampling=(("temperature", 0.0), ("max_tokens", 12.0))) for text in texts]
    expected = [greedy(engine, text, 12) for text in texts]
    assert [reply.text for reply in engine.answer_batch(cold)] == expected
    assert [reply.text for reply in engine.answer_batch(zero)] == expected


def test_max_tokens_of_the_ask_and_of_the_engine(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = started(llama, max_new_tokens=7)
    given = [Ask((("user", (TEXT,)),)), Ask((("user", (TEXT,)),), sampling=(("max_tokens", 3.0),))]
    rest, short = (reply.text for reply in engine.answer_batch(given))
    assert rest.startswith(short)
    assert rest == greedy(engine, TEXT, 7)
    assert short == greedy(engine, TEXT, 3)


def test_a_sample_hangs_on_the_ask_alone(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = started(llama)
    given = [drawing(sample=sample) for sample in range(4)] + [drawing("red?"), drawing(seed=3.0)]
    together = [reply.text for reply in engine.answer_batch(given)]
    torch.manual_seed(123)
    backwards = [reply.text for reply in engine.answer_batch(given[::-1])][::-1]
    alone = [engine.answer_batch([ask])[0].text for ask in given]
    assert together == backwards == alone
    assert len(set(together)) >= 5


def test_samples_follow_the_models_distribution(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = started(llama)
    running, count = engine._running, 1000
    with torch.no_grad():
        logits = running.loaded.model(input_ids=torch.tensor([running.encoder.encode(drawing()).ids])).logits[0, -1]
    chances = (logits / 5).softmax(-1).tolist()
    given = [drawing(sample=sample, max_tokens=1.0, temperature=5.0) for sample in range(count)]
    drawn = Counter(reply.text for reply in engine.answer_batch(given))
    statistic, cells = 0.0, 0
    for token, chance in enumerate(chances):
        text = running.encoder.tokenizer.decode([token])
        if text.isalnum() and text.isascii() and count * chance > 5:
            statistic += (drawn[text] - count * chance) ** 2 / (count * chance * (1 - chance))
            cells += 1
    assert cells > 10
    # Each cell's term has mean 1 and variance about 2: five standard deviations.
    assert statistic < cells + 5 * math.sqrt(2 * cells)


def test_drawing_inverts_the_distribution_function() -> None:
    logits = torch.log(torch.tensor([0.1, 0.6, 0.3]))
    assert [_drawn(logits, 1.0, uniform) for uniform in (0.0, 0.59, 0.61, 0.89, 0.91, 0.999999)] == [1, 1, 2, 2, 0, 0]
    assert [_drawn(logits, 0.85, uniform) for uniform in (0.0, 0.66, 0.67, 0.999999)] == [1, 1, 2, 2]
    assert {_drawn(logits, 0.5, uniform) for uniform in (0.0, 0.5, 0.999999)} == {1}


def test_low_temperature_is_nearly_greedy(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = started(llama)
    texts = {reply.text for reply in engine.answer_batch([drawing(sample=sample, temperature=1e-3) for sample in range(5)])}
    assert texts == {greedy(engine, TEXT, 5)}


def test_moved_videos_keep_their_samples(nano: str, video: Path, tmp_path: Path, started: Callable[..., TransformersEngine]) -> None:
    engine = started(nano)
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(video.read_bytes())
    made = [
        Ask((("user", (Clip(str(path), digest="d" * 64), TEXT)),), sampling=(("temperature", 2.0), ("max_tokens", 6.0)))
        for path in (video, moved)
    ]
    one, other = (engine.answer_batch([ask])[0].text for ask in made)
    assert one == other


def test_vision_tokens_are_never_generated(nano: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    engine = started(nano)
    running = engine._running
    barred = running.loaded.vocabulary.barred
    assert {running.encoder.tokenizer.convert_ids_to_tokens(token) for token in barred} == {
        "<|image_pad|>",
        "<|video_pad|>",
        "<|vision_start|>",
        "<|vision_end|>",
    }
    head = running.loaded.model.lm_head
    handle = head.register_forward_hook(lambda module, args, out: out.index_fill(-1, torch.tensor(barred), 50.0))
    try:
        given = [Ask((("user", (Clip(str(video)), TEXT)),), sampling=(("temperature", value), ("max_tokens", 4.0))) for value in (0.0, 1.0)]
        replies = engine.answer_batch(given)
    finally:
        handle.remove()
    expected = engine.answer_batch(given)
    assert [reply.status for reply in replies] == ["answered", "answered"]
    assert replies[0].text == expected[0].text
    assert all("<|" not in reply.text for reply in replies)


def test_an_assistants_beginning_is_continued(nano: str, started: Callable[..., TransformersEngine]) -> None:
    encoder = started(nano)._running.encoder
    begun = encoder.encode(Ask((("user", ("red ?",)), ("assistant", ("yellow",)))))
    plain = encoder.encode(Ask((("user", ("red ?",)),)))
    assert encoder.tokenizer.decode(begun.ids).endswith("yellow")
    assert len(begun.ids) > len(plain.ids)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"top_k": 5.0}, "unknown sampling setting 'top_k'; there is: temperature, top_p, max_tokens, seed"),
        ({"top_p": 0.0}, "temperature must be at least 0 and top_p in (0, 1]: {'temperature': 1.0, 'max_tokens': 5.0, 'top_p': 0.0}"),
    ],
)
def test_settings_that_cannot_be_followed_are_failed_replies(
    settings: dict[str, float], text: str, llama: str, started: Callable[..., TransformersEngine]
) -> None:
    bad, good = started(llama).answer_batch([drawing(**settings), drawing()])
    assert (bad.status, bad.error) == ("failed", text)
    assert good.status == "answered"


def test_the_seed_is_part_of_the_draw(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = started(llama)
    ask = drawing(max_tokens=8.0)
    texts = {engine.answer_batch([replace(ask, sampling=(*ask.sampling, ("seed", float(seed))))])[0].text for seed in range(4)}
    assert len(texts) >= 3
