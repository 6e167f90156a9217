"""The formulas against what torch holds on a CPU: tensors of a step, what autograd keeps, the cache of a generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, DynamicCache
from vidground_trl.memory import GIB, Estimate, Load, activations, estimate, visual_load
from vidground_trl.model_size import ModelSize, size_from, size_of

ROWS, TOKENS, GRID = 2, 240, (2, 12, 12)
KINDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
TYPES = (torch.float32, torch.bfloat16)


def made(kind: str, dtype: torch.dtype) -> tuple[Any, ModelSize]:
    """A model whose widths all differ, so that no term of a formula stands for another."""
    text = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [6, 5, 5]}
    text |= {"vocab_size": 300, "head_dim": 32, "rope_parameters": rope, "bos_token_id": 1, "eos_token_id": 2}
    vision: dict[str, Any] = {"depth": 4, "num_heads": 4, "patch_size": 14}
    if kind == "qwen2_vl":
        vision |= {"embed_dim": 64, "hidden_size": 192, "mlp_ratio": 3}
    else:
        vision |= {"hidden_size": 64, "intermediate_size": 224, "out_hidden_size": 192}
    if kind == "qwen3_vl":
        vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision, tie_word_embeddings=False)
    torch.set_num_threads(1)
    model = AutoModelForImageTextToText.from_config(config, dtype=dtype).train()
    return model, size_from(config.to_dict())


def kept(model: Any, forward: Callable[[], Any]) -> int:
    """Bytes of all storages that autograd keeps of a forward pass, weights aside."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    found: dict[int, tuple[int, Any]] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes(), tensor  # the tensor is held so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = forward()
    assert held is not None
    return sum(size for size, _ in found.values())


def text_pass(model: Any, dtype: torch.dtype) -> Callable[[], Any]:
    embeds = torch.randn(ROWS, TOKENS, 192, dtype=dtype, requires_grad=True)
    mask, positions = torch.ones(ROWS, TOKENS, dtype=torch.long), torch.arange(TOKENS).expand(3, ROWS, TOKENS)
    return lambda: model.model.language_model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False)


def vision_pass(model: Any, dtype: torch.dtype) -> Callable[[], Any]:
    patches = GRID[0] * GRID[1] * GRID[2]
    pixels = torch.randn(patches, 3 * 2 * 14 * 14, dtype=dtype, requires_grad=True)
    return lambda: model.model.visual(pixels, grid_thw=torch.tensor([GRID]))


def load(dtype: torch.dtype, **changes: Any) -> Load:
    width = torch.empty(0, dtype=dtype).element_size()
    values: dict[str, Any] = {"prompt": TOKENS, "completion": 0, "patches": 288, "rows": ROWS, "videos": 1, "weights": width}
    return Load(**(values | {"compute": width, "checkpointing": False} | changes))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_autograd_keeps_of_each_tower(kind: str, dtype: torch.dtype) -> None:
    model, size = made(kind, dtype)
    text, vision = load(dtype, patches=0), load(dtype, rows=0)
    assert kept(model, text_pass(model, dtype)) == pytest.approx(activations(size, text), rel=0.06)
    assert kept(model, vision_pass(model, dtype)) == pytest.approx(activations(size, vision), rel=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointing_keeps_the_inputs_of_the_layers(kind: str) -> None:
    model, size = made(kind, torch.float32)
    model.activation_checkpointing_enable()
    inputs = 4 * ROWS * TOKENS * 192 * size.text.layers
    found = kept(model, text_pass(model, torch.float32))
    # What stands besides: embeddings, last norm and rotary angles, 2·192 + 2·32 numbers a token.
    assert found == pytest.approx(inputs + 4 * ROWS * TOKENS * (2 * 192 + 2 * 32), rel=0.06)
    checkpointed, layer = (activations(size, load(torch.float32, patches=0, checkpointing=each)) for each in (True, False))
    assert checkpointed == inputs + layer // size.text.layers


@pytest.mark.parametrize("dtype", TYPES)
def test_weights_gradients_and_moments_are_those_of_a_step(dtype: torch.dtype) -> None:
    model, size = made("qwen2_5_vl", dtype)
    optimizer = torch.optim.AdamW(model.parameters())
    for each in model.parameters():
        each.grad = torch.zeros_like(each)
    optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    standing = estimate(size, load(dtype)).standing
    assert standing["weights"] == sum(each.nbytes for each in model.parameters())
    assert standing["gradients"] == sum(each.grad.nbytes for each in model.parameters())
    assert standing["optimizer"] == sum(each.nbytes for each in moments)


def test_the_cache_of_a_generation() -> None:
    model, size = made("qwen2_5_vl", torch.float32)
    cache = DynamicCache()
    with torch.no_grad():
        model(input_ids=torch.full((ROWS, TOKENS), 5), past_key_values=cache, use_cache=True)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    big = replace(size, vocabulary=0, text=replace(size.text, intermediate=0, hidden=0))
    assert estimate(big, load(torch.float32, rollouts=ROWS)).rollouts == held


def test_the_parts_are_shared_as_each_way_shares_them() -> None:
    size = size_of("Qwen/Qwen2.5-VL-7B-Instruct")
    assert size is not None
    one = Load(5420, 768, 20480, 1, 1, rollouts=8, weights=2, compute=2, reference=True)
    alone = estimate(size, one).standing
    assert [alone[name] for name in ("weights", "gradients", "optimizer", "reference", "buckets", "gathered")] == [
        *(2 * size.parameters, 2 * size.parameters, 4 * size.parameters, 2 * size.parameters, 0, 0)
    ]
    ddp = estimate(size, replace(one, processes=8)).standing
    assert ddp == alone | {"buckets": 2 * size.parameters}
    fsdp = estimate(size, replace(one, processes=8, parallel="fsdp2")).standing
    assert [fsdp[name] for name in ("weights", "gradients", "optimizer", "reference")] == [
        size.parameters * each // 8 for each in (4, 4, 8, 2)
    ]
    assert (fsdp["gathered"] > 2 * 152064 * 3584 * 2, fsdp["autocast"]) == (True, 0)
    full = estimate(size, replace(one, processes=8, parallel="fsdp2", weights=4)).standing
    assert full == fsdp | {"reference": 2 * fsdp["reference"]}
    single = estimate(size, replace(one, processes=8, parallel="fsdp2", weights=4, compute=4)).standing
    assert single == full | {"gathered": 2 * full["gathered"]}
    zero2 = estimate(size, replace(one, processes=8, parallel="deepspeed-zero2")).standing
    assert (zero2["weights"], zero2["optimizer"]) == (2 * size.parameters, 12 * size.parameters // 8)
    zero3 = estimate(size, replace(one, processes=8, parallel="deepspeed-zero3"))
    assert zero3.rollouts == estimate(size, one).rollouts + 2 * size.parameters
    lora = estimate(size, replace(one, trained=10**7)).standing
    assert (lora["gradients"], lora["reference"]) == (2 * 10**7, 0)


def test_half_precision_over_full_weights_costs_a_copy() -> None:
    size = size_of("Qwen/Qwen2.5-VL-3B-Instruct")
    assert size is not None
    both = estimate(size, Load(1000, 100, 4000, 1, 1, weights=4, compute=2)).standing
    assert (both["weights"], both["autocast"]) == (4 * size.parameters, 2 * size.parameters)


def test_the_patches_and_tokens_of_a_video() -> None:
    size = size_of("Qwen/Qwen2.5-VL-7B-Instruct")
    assert size is not None
    assert visual_load(size, frames=16, pixels=501760) == (20480, 5120)
    assert visual_load(size, frames=3, pixels=0) == (2 * 768 * 4, 2 * 768)
    # As images no two frames share a patch, and each has its time and its ends.
    assert visual_load(size, frames=16, pixels=501760, images=True) == (2 * 20480, 2 * 5120 + 16 * 8)
    assert visual_load(size, frames=3, pixels=0, images=True) == (3 * 16384 * 4, 3 * (16384 + 8))


def test_the_peak_is_the_larger_phase_with_a_tenth_on_top_and_is_said_in_words() -> None:
    found = Estimate({"weights": 2 * GIB, "reference": 0}, activations=3 * GIB, head=GIB, rollouts=5 * GIB)
    assert found.peak == int(1.1 * 7 * GIB)
    expected = "about 7.7 GiB a GPU at the peak (weights 2.0, activations 3.0, head 1.0, rollouts 5.0)"
    assert found.sentence() == expected
