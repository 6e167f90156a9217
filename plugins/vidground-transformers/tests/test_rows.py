"""Continuations side by side in one row, against one forward pass for each without padding, cache or mask."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from vidground_transformers.blocks import block_mask, lay_out, reach, takes_blocks
from vidground_transformers.encoding import Encoded
from vidground_transformers.engine import TransformersConfig, TransformersEngine
from vidground_transformers.generating import Vocabulary
from vidground_transformers.prompts import Beginning, alike, beginning
from vidground_transformers.scoring import Scorer

from vidground_core import Ask, Clip
from vidground_core.models import cache_folder

SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "head_dim": 8,
    "initializer_range": 0.5,
}
VOCABULARY = Vocabulary(pad=0, ends=(1,), barred=())
KINDS: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"sliding_window": 64},
    "Qwen2": {},
    "Qwen3": {},
    "Phi3": {"pad_token_id": 0},
    "Gemma2": {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "Gemma3Text": {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "Granite": {"logits_scaling": 3.0},
    "Cohere": {"logit_scale": 0.25},
}


def small(kind: str, **more: Any) -> Any:
    torch.manual_seed(0)
    names = {"Gemma3Text": "Gemma3ForCausalLM"}
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **KINDS[kind], **more})
    return getattr(transformers, names.get(kind, f"{kind}ForCausalLM"))(config).eval()


def batch(*, beginning: int = 12) -> list[Encoded]:
    """Prompts of several lengths that begin alike; continuations of 0 to 5 tokens, two of which begin alike."""
    tails = ([7], [8, 9], [8, 9, 10, 11, 12], [], [30, 31, 32], [8, 40])
    ends = ([20], [21, 22, 23, 24, 25, 26, 27], [28, 29], [20, 21])
    return [Encoded(Ask(()), [*range(40, 40 + beginning), *end], tails=tails[: 6 - row]) for row, end in enumerate(ends)]


def plain(model: Any, item: Encoded) -> list[float]:
    found = []
    for tail in item.tails:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*item.ids, *tail]]), use_cache=False).logits[0].float().log_softmax(-1)
        found.append(sum(float(logits[len(item.ids) - 1 + place, token]) for place, token in enumerate(tail)))
    return found


@contextmanager
def passes(model: Any) -> Iterator[list[tuple[int, int]]]:
    """The (rows, width) of each forward pass."""
    seen: list[tuple[int, int]] = []
    handle = model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_plain_passes(kind: str, attention: str) -> None:
    if kind == "Gemma2" and attention == "sdpa":
        attention = "eager"  # its soft cap has no other
    model = small(kind, attn_implementation=attention)
    scorer = Scorer(model, VOCABULARY)
    assert scorer.blocks
    for given in (batch(), batch(beginning=0), batch()[:1], batch()[::-1]):
        for item, reply in zip(given, scorer.score(given), strict=True):
            assert reply.logprobs == pytest.approx(plain(model, item), abs=1e-4)


def test_a_question_is_one_row_and_the_beginning_runs_once() -> None:
    model = small("Llama")
    scorer = Scorer(model, VOCABULARY)
    with passes(model) as seen:
        scorer.score(batch())
        scorer.score(batch()[1:])
        scorer.score(batch()[2:3])
    # 12 tokens in common; then what is left of the widest prompt and the continuations' tokens without their last.
    assert seen == [(1, 12), (4, 7 + 1 + 4 + 2), (3, 7 + 1 + 4 + 2), (1, 2 + 1 + 4)]


def test_equal_continuations_run_once_and_tie_exactly() -> None:
    model = small("Llama")
    scorer = Scorer(model, VOCABULARY)
    item = Encoded(Ask(()), [40, 41, 42], tails=([7, 8, 9], [30], [7, 8, 9], [8, 9], [30]))
    with passes(model) as seen:
        (reply,) = scorer.score([item])
    assert seen == [(1, 3 + 2 + 0 + 1)]
    assert reply.logprobs[0] == reply.logprobs[2]
    assert reply.logprobs[1] == reply.logprobs[4]
    assert reply.tokens == (3, 1, 3, 2, 1)
    assert reply.logprobs == pytest.approx(plain(model, item), abs=1e-4)


def test_the_output_matrix_is_applied_where_it_is_read() -> None:
    model = small("Llama")
    scorer = Scorer(model, VOCABULARY)
    shapes: list[tuple[int, ...]] = []
    forward = model.lm_head.forward
    model.lm_head.forward = lambda hidden: shapes.append(tuple(hidden.shape)) or forward(hidden)
    scorer.score(batch(beginning=0)[:2])
    assert shapes == [(1, (1 + 1 + 4 + 2 + 1) + (1 + 1 + 4 + 2), 32)]


@pytest.mark.parametrize("kind", ["Mistral", "Gemma3Text"])
def test_prompts_longer_than_a_window_run_apart(kind: str) -> None:
    model = small(kind, sliding_window=10)
    scorer = Scorer(model, VOCABULARY)
    assert (scorer.blocks, reach(model)) == (True, 10)
    short = [Encoded(Ask(()), ids, tails=([7], [8, 9])) for ids in ([40, 41, 42], [43, 44])]
    for given, widths in ((batch(), {19, 4}), (short, {4})):
        with passes(model) as seen:
            replies = scorer.score(given)
        assert {width for _, width in seen} == widths
        for item, reply in zip(given, replies, strict=True):
            assert reply.logprobs == pytest.approx(plain(model, item), abs=1e-4)


def test_long_prompts_run_with_the_models_own_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidground_transformers.scoring._MOST_MASK", 100)
    model = small("Qwen2")
    scorer = Scorer(model, VOCABULARY)
    with passes(model) as seen:
        replies = scorer.score(batch())
    assert seen == [(4, 19), (4, 8)]
    for item, reply in zip(batch(), replies, strict=True):
        assert reply.logprobs == pytest.approx(plain(model, item), abs=1e-4)


class Leaky(transformers.LlamaForCausalLM):
    """Pays no attention to a mask of the caller's."""

    def forward(self, *, attention_mask: Any = None, **given: Any) -> Any:
        return super().forward(attention_mask=None if attention_mask is None or attention_mask.ndim == 4 else attention_mask, **given)


class Refusing(transformers.LlamaForCausalLM):
    def forward(self, *, attention_mask: Any = None, **given: Any) -> Any:
        if attention_mask is not None and attention_mask.ndim == 4:
            raise ValueError("attention_mask must have two dimensions")
        return super().forward(attention_mask=attention_mask, **given)


@pytest.mark.parametrize("kind", [Leaky, Refusing])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_does_not_honour_the_mask_gets_a_row_a_continuation(kind: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = kind(transformers.LlamaConfig(**SMALL)).eval().to(dtype)
    assert takes_blocks(small("Llama").to(dtype), VOCABULARY)
    assert not takes_blocks(model, VOCABULARY)
    scorer = Scorer(model, VOCABULARY)
    with passes(model) as seen:
        replies = scorer.score(batch())
    # Continuations of two tokens and more: 4, 3, 3, 2, without those left out of the later asks.
    assert [rows for rows, _ in seen] == [4, 4 + 3 + 2 + 2]
    if dtype is torch.float32:
        for item, reply in zip(batch(), replies, strict=True):
            assert reply.logprobs == pytest.approx(plain(model, item), abs=1e-4)


def test_an_attention_that_takes_no_mask_has_no_reach() -> None:
    model = small("Llama")
    model.config._attn_implementation = "flash_attention_2"
    assert reach(model) == 0
    gpt = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2))
    assert reach(gpt) == 0


def test_memory_that_runs_out_while_a_model_is_asked_is_no_answer() -> None:
    model = small("Llama")

    def full(module: Any, given: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    model.model.register_forward_pre_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        takes_blocks(model, VOCABULARY)


def test_who_sees_whom() -> None:
    item = Encoded(Ask(()), [5, 6, 7], tails=([1], [2, 3], [4, 5, 6]))
    block = lay_out([item], [1], device="cpu")
    assert block.ids.tolist() == [[6, 7, 2, 4, 5]]
    assert block.positions.tolist() == [[1, 2, 3, 3, 4]]
    assert block.owner.tolist() == [[0, 0, 2, 3, 3]]
    seen = block_mask(block.owner, torch.ones(1, 1), dtype=torch.float32)[0, 0] == 0
    assert ["".join("x" if each else "." for each in row) for row in seen.tolist()] == ["xx....", "xxx...", "xxxx..", "xxx.x.", "xxx.xx"]
    assert block.reads.tolist() == [1, 2, 3, 4]
    assert block.picks == ((0, 0, 0, 1), (0, 1, 0, 2), (0, 1, 1, 3), (0, 2, 0, 4), (0, 2, 2, 5), (0, 2, 3, 6))


def test_padding_sees_itself_so_that_nothing_is_undefined() -> None:
    given = [Encoded(Ask(()), list(range(2, 2 + length)), tails=([1, 2],)) for length in (2, 9)]
    block = lay_out(given, [0, 0], device="cpu")
    seen = block_mask(block.owner, torch.ones(2, 0), dtype=torch.float32)[:, 0] == 0
    assert bool(seen.any(-1).all())
    assert not seen[0, :3, 3:].any()


def test_what_prompts_begin_with() -> None:
    assert beginning([[1, 2, 3], [1, 2, 4], [1, 2]]) == 1
    assert beginning([[1, 2, 3], [1, 2, 3]]) == 2
    assert beginning([[5], [6, 7]]) == 0
    assert [alike([1, 2], [1, 2, 3]), alike([], [1]), alike([1, 5], [1, 2])] == [2, 0, 1]


def test_a_beginning_is_kept_cut_short_and_run_anew() -> None:
    def prompts(common: Sequence[int], rows: int) -> list[Encoded]:
        return [Encoded(Ask(()), [*common, 90 + row, 99]) for row in range(rows)]

    kept = Beginning(small("Llama"))
    assert kept.serve(prompts(range(20), 1)) == 0  # one prompt alone begins with nothing in common with others
    assert kept.serve(prompts(range(20), 2)) == 0  # costs what it saves
    assert kept.serve(prompts(range(20), 3)) == 20
    assert kept.serve(prompts(range(12), 3)) == 12  # the kept one, cut
    assert kept.serve(prompts(range(26), 3)) == 20  # six more tokens are not worth a pass
    assert kept.serve(prompts(range(60), 3)) == 60
    assert kept.serve(prompts(range(5), 9)) == 0
    assert kept.serve(prompts([80, *range(20)], 9)) == 21
    cache = kept.cache(4, 12)
    assert cache.get_seq_length() == 12
    assert [tuple(layer.keys.shape) for layer in cache.layers] == [(4, 2, 12, 8)] * 2


@pytest.mark.parametrize("model", ["nano", "qwen2", "qwen3", "llava"])
def test_options_of_a_shown_question_stand_over_one_cache(
    model: str, video: Path, started: Callable[..., TransformersEngine], request: pytest.FixtureRequest
) -> None:
    engine = started(request.getfixturevalue(model))
    assert engine._running.scorer.blocks
    given = [
        Ask((("user", (Clip(str(video), frames=4), text)),), ("red", "yellow and red", "the square is blue .")) for text in ("a ?", "b")
    ]
    with passes(engine._running.loaded.model) as seen:
        engine.answer_batch(given)
    assert [rows for rows, _ in seen] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_real_model(dtype: str) -> None:
    path = Path(os.environ.get("VG_TEST_MODELS") or cache_folder() / "test-models") / "smollm2-135m-instruct.gguf"
    if not path.is_file():
        pytest.skip(f"{path} is not there; `make test-models` fetches it")
    engine = TransformersEngine(TransformersConfig(model=str(path), dtype=dtype, device="cpu"))
    engine.start()
    encoder, model = engine._running.encoder, engine._running.loaded.model
    options = ("it is cold outside", "to get the ball", "The baby laughs and claps", "he fell")
    given = [Ask((("user", (f"why did the {who} {what}?",)),), options) for who in ("boy", "old man", "cat") for what in ("run", "stop")]
    for ask, reply in zip(given, engine.answer_batch(given), strict=True):
        expected = plain(model, encoder.encode(ask))
        assert reply.logprobs == pytest.approx(expected, abs=1e-4 if dtype == "float32" else 1.0)
        assert engine._running.scorer.blocks
