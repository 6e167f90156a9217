"""What only a GPU shows; run with `pytest -m gpu` where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from vidground_transformers.engine import TransformersConfig, TransformersEngine

from vidground_core import Ask, Clip

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")]


def asks(video: Path) -> list[Ask]:
    parts = [("is the square red ?",), ("which one comes first ?",), (Clip(str(video), frames=4), "red ?")]
    return [Ask((("user", part),), tails) for part in parts for tails in (("red", "blue and red", "yellow"), ())]


@pytest.mark.parametrize("options", [{"device": "cuda:0"}, {"devices": ("all",)}, {"device": "cuda:0", "batch_tokens": 40}])
def test_a_gpu_answers_as_a_cpu(options: dict[str, object], nano: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    engine = TransformersEngine(TransformersConfig(model=nano, dtype="float32", max_new_tokens=4, **options))
    engine.start()
    found = engine.answer_batch(asks(video))
    engine.close()
    expected = started(nano, dtype="float32", device="cpu", max_new_tokens=4).answer_batch(asks(video))
    for one, other in zip(found, expected, strict=True):
        assert (one.status, one.text) == ("answered", other.text)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-2)


def test_a_batch_larger_than_the_memory_is_halved(llama: str) -> None:
    engine = TransformersEngine(TransformersConfig(model=llama, device="cuda:0", batch_tokens=10**9))
    engine.start()
    given = [Ask((("user", (f"{number} " + "what is it ? " * 100,)),), ("red", "yellow square")) for number in range(600)]
    alone = engine.answer_batch(given[:1])[0]
    torch.cuda.set_per_process_memory_fraction(0.3 * 2**30 / torch.cuda.get_device_properties(0).total_memory)
    try:
        replies = engine.answer_batch(given)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        engine.close()
    assert {reply.status for reply in replies} == {"answered"}
    assert replies[0].logprobs == pytest.approx(alone.logprobs, abs=1e-2)
