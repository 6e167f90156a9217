"""Memory that runs out: a batch is halved and the run goes on, whoever says so and whatever is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from vidground_transformers.batching import Batcher
from vidground_transformers.encoding import Encoded
from vidground_transformers.engine import TransformersConfig, TransformersEngine

from vidground_core import Ask, Reply

MOST_TOKENS = 200


def engine_of_little_memory(llama: str) -> tuple[TransformersEngine, list[int]]:
    """An engine whose model runs out of memory over `MOST_TOKENS` tokens, cached ones among them; and the tokens of each try."""
    engine = TransformersEngine(TransformersConfig(model=llama, device="cpu", max_new_tokens=4))
    engine.start()
    tries: list[int] = []

    def limited(module: Any, args: Any, kwargs: Any) -> None:
        tries.append(kwargs["input_ids"].numel())
        if tries[-1] > MOST_TOKENS:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    engine._running.loaded.model.register_forward_pre_hook(limited, with_kwargs=True)
    return engine, tries


def asks(*tails: str, count: int = 16) -> list[Ask]:
    return [Ask((("user", (f"{number} what is it ?",)),), tails) for number in range(count)]


@pytest.mark.parametrize("tails", [("red", "yellow square"), ()])
def test_a_batch_that_does_not_fit_is_halved(tails: tuple[str, ...], llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine, tries = engine_of_little_memory(llama)
    expected = started(llama, max_new_tokens=4).answer_batch(asks(*tails))
    replies = engine.answer_batch(asks(*tails))
    assert [(reply.status, reply.text) for reply in replies] == [(reply.status, reply.text) for reply in expected]
    for one, other in zip(replies, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert max(tries) > MOST_TOKENS
    tries.clear()
    engine.answer_batch(asks(*tails))
    assert max(tries) <= MOST_TOKENS


def test_the_budget_comes_back_and_waits_longer_each_time_it_was_too_much() -> None:
    free = 40
    item = Encoded(Ask(()), [0] * 10, tails=([0],))
    batcher = Batcher(80, vocabulary=10, name="m", blocks=True)
    budgets: list[int] = []

    def run(batch: Sequence[Encoded]) -> list[Reply]:
        if sum(len(each.ids) for each in batch) > free:
            raise torch.OutOfMemoryError("out of memory")
        return [Reply("answered")] * len(batch)

    def answer(times: int) -> None:
        for _ in range(times):
            (batch, *_) = batcher.batches(((place, item) for place in range(100)), room=0)
            budgets.append(len(batch) * 10)
            batcher.answer([each for _, each in batch], run)

    answer(200)
    assert (budgets[0], budgets[1]) == (80, 40)
    tried = [place for place, budget in enumerate(budgets) if budget == 80]
    assert [later - earlier for earlier, later in pairwise(tried)] == [63, 127]
    free = 1000
    answer(400)
    assert budgets[-1] == 80
    assert budgets[-100:] == [80] * 100


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
        "std::bad_alloc",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_other_ways_to_say_it(text: str) -> None:
    def run(batch: Sequence[Encoded]) -> list[Reply]:
        if len(batch) > 1:
            raise RuntimeError(text)
        return [Reply("answered")]

    item = Encoded(Ask(()), [0] * 10)
    assert Batcher(100, vocabulary=10, name="m").answer([item] * 4, run) == [Reply("answered")] * 4


# The limit is set once the model has run, over what the process has by then: 256 MiB more, which a batch of 600 rows exceeds.
_LIMITED = """
import json, resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from vidground_core import Ask
from vidground_transformers.engine import TransformersConfig, TransformersEngine
engine = TransformersEngine(TransformersConfig(model=sys.argv[1], device="cpu", batch_tokens=10**9))
engine.start()
text = "what is it ? " * 40
asks = [Ask((("user", (f"{number} {text}",)),), ("red", "yellow square")) for number in range(600)]
alone = engine.answer_batch(asks[:1])[0]
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 256 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
replies = engine.answer_batch(asks)
rows = [len(batch) for batch in engine._running.batcher.batches(((0, engine._running.encoder.encode(ask)) for ask in asks), room=0)]
print(json.dumps([sorted({reply.status for reply in replies}), alone.logprobs, replies[0].logprobs, max(rows)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_real_memory_that_runs_out(llama: str) -> None:
    done = subprocess.run([sys.executable, "-c", _LIMITED, llama], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    statuses, alone, together, rows = json.loads(done.stdout)
    assert statuses == ["answered"]
    assert together == pytest.approx(alone, abs=1e-4)
    assert rows < 600
