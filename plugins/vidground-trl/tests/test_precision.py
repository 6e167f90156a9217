"""Weights in float32: short runs at the presets' learning rate, and what accelerate makes of weights in bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText
from vidground_trl.config import PRESETS, TRLGRPOConfig
from vidground_trl.dpo import TRLDPOConfig
from vidground_trl.memory import Load, estimate
from vidground_trl.model_size import size_from
from vidground_trl.options import TrainingOptions
from vidground_trl.precision import precision_problems
from vidground_trl.rloo import TRLRLOOConfig
from vidground_trl.sft import TRLSFT, TRLSFTConfig

from vidground_core import MissingBackendError, TrainJob

from .broken_runs import weights
from .conftest import question

# Table 7's optimizer on a CPU, with what no CPU has left out.
ON_A_CPU: dict[str, Any] = {"preset": "paper", "device": "cpu", "attention": "auto", "video_check": 0}


@pytest.mark.slow
def test_the_papers_learning_rate_moves_nearly_all_weights(
    tiny: Callable[[str], Path], table: Callable[[list[Any]], Path], videos: list[Path], tmp_path: Path
) -> None:
    rows = [question(number, videos[number % 6]) for number in range(16)]
    job = TrainJob(table(rows), str(tiny("qwen2_5_vl")), tmp_path / "out", threads=1)
    config = TRLSFTConfig(**ON_A_CPU, prompts=16, prompts_per_step=2, frames=2, gradient_checkpointing=False)
    assert (config.lr, config.weights, config.bf16) == (1e-6, "float32", "on")
    before, after = weights(Path(job.model)), weights(TRLSFT(config).train(job).checkpoint)
    moved = sum(int((before[name] != after[name]).sum()) for name in before)
    # What no token of these rows touches stays: most of the vocabulary, and weights that decay alone would move by less than a rounding.
    touched = sum(int(after[name].numel()) for name in before if "embed_tokens" not in name)
    assert moved > 0.9 * touched

    lost = replace(job, out=tmp_path / "lost")
    with pytest.raises(MissingBackendError, match="weights = 'bfloat16' under parallel = 'ddp' leaves no float32 weights"):
        TRLSFT(config.model_copy(update={"weights": "bfloat16"})).train(lost)
    assert not lost.out.exists()


@pytest.mark.parametrize("preset", ["paper", "video-r1"])
def test_the_presets_compute_in_bfloat16_on_float32_weights(preset: str) -> None:
    config = TRLGRPOConfig(preset=preset)  # type: ignore[arg-type]
    assert (config.weights, config.bf16) == (PRESETS[preset]["weights"], "on") == ("float32", "on")
    assert precision_problems(config) == []


@pytest.mark.parametrize("options", [TRLSFTConfig, TRLDPOConfig, TRLRLOOConfig])
def test_so_do_those_of_the_other_trainers(options: type[TrainingOptions]) -> None:
    config = options(preset="paper")
    assert (config.weights, config.bf16) == ("float32", "on")
    assert precision_problems(config) == []


def test_weights_in_bfloat16_alone_are_refused_with_what_to_set() -> None:
    (found,) = precision_problems(TRLGRPOConfig(preset="paper", weights="bfloat16"))
    assert found == (
        "weights = 'bfloat16' under parallel = 'ddp' leaves no float32 weights: most updates of lr = 1e-06 are smaller than half the "
        "distance between two numbers of bfloat16 and are rounded away; set weights to float32 and bf16 to on, or parallel to fsdp2 or "
        "deepspeed-zero2, which keep float32 weights beside, or train adapters (lora_r)."
    )
    (found,) = precision_problems(TRLGRPOConfig(weights="bfloat16", parallel="fsdp2", bf16="off", processes=2))
    assert found == (
        "weights = 'bfloat16' with bf16 = 'off' leaves no float32 weights under parallel = 'fsdp2', and updates of lr = 1e-06 are rounded "
        "away; set bf16 to on, or weights to float32."
    )


@pytest.mark.parametrize("parallel", ["fsdp2", "deepspeed-zero2", "deepspeed-zero3"])
def test_what_keeps_float32_weights_beside_takes_them_in_bfloat16(parallel: Any) -> None:
    assert precision_problems(TRLGRPOConfig(preset="paper", weights="bfloat16", parallel=parallel, processes=8)) == []
    assert precision_problems(TrainingOptions(weights="bfloat16", lora_r=8)) == []


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_fsdp2_holds_in_float32_what_was_loaded_in_bfloat16_as_the_estimate_says(tiny: Callable[[str], Path]) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, mixed_precision_policy="bf16", auto_wrap_policy="transformer_based_wrap")
    model = AutoModelForImageTextToText.from_pretrained(tiny("qwen2_5_vl"), dtype=torch.bfloat16)
    state = SimpleNamespace(fsdp_plugin=plugin)
    fsdp2_prepare_model(SimpleNamespace(state=state, mixed_precision="bf16", is_main_process=False, torch_device_mesh=None), model)
    assert plugin.mixed_precision_policy.param_dtype == torch.bfloat16
    held = sum(each.numel() * each.element_size() for each in model.parameters())
    load = Load(100, 10, 0, 1, 1, weights=2, compute=2, processes=2, parallel="fsdp2")
    found = estimate(size_from(model.config.to_dict()), load).standing
    assert held == pytest.approx(2 * found["weights"])
    assert (found["gradients"], found["optimizer"], "autocast" in found and found["autocast"]) == (
        found["weights"],
        2 * found["weights"],
        0,
    )
