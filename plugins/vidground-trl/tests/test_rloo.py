from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForImageTextToText
from vidground_trl.config import PRESETS, TRLGRPOConfig
from vidground_trl.grpo import TRLGRPO
from vidground_trl.rloo import TRLRLOO, TRLRLOOConfig

from vidground_core import TrainJob
from vidground_core.plugins import load_registry
from vidground_core.testing.contracts import TrainerContract

from .broken_runs import equal, kill_at, lines, weights
from .conftest import question

STEPS = 8
SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 2 * STEPS, "prompts_per_step": 2, "num_generations": 4, "save_steps": 2}
SETTINGS |= {"frames": 4, "max_completion_length": 3, "lr": 3e-3, "warmup_steps": 0, "sample_rows": 1, "beta": 0.04, "video_check": 0}


def trainer(**changes: Any) -> TRLRLOO:
    return TRLRLOO(TRLRLOOConfig(**(SETTINGS | changes)))


@pytest.fixture
def job(answering: Path, table: Callable[[list[Any]], Path], videos: list[Path], image: Path, tmp_path: Path) -> TrainJob:
    """Rows with a video, an image and text alone, all of one colour, so that a few steps can learn it."""
    rows = [question(4 * number, videos[number // 2]) for number in range(8)]
    rows += [question(40, image), question(44)]
    return TrainJob(table(rows), str(answering), tmp_path / "out", seed=3, threads=1)


class TestContract(TrainerContract):
    component: ClassVar[type[Any]] = TRLRLOO


@pytest.mark.slow
def test_training_and_resuming(job: TrainJob, tmp_path: Path) -> None:
    unbroken = trainer().train(job)
    assert (unbroken.steps, unbroken.prompts) == (STEPS, 2 * STEPS)
    metrics = lines(job.out / "metrics.jsonl")
    rewards = [row["reward"] for row in metrics]
    assert sum(rewards[-3:]) > sum(rewards[:3])
    assert {"kl", "frac_reward_zero_std", "entropy", "completions/mean_length"} <= unbroken.metrics.keys()
    assert len(lines(job.out / "samples.jsonl")) == STEPS
    AutoModelForImageTextToText.from_pretrained(unbroken.checkpoint)

    broken = replace(job, out=tmp_path / "broken")
    kill_at(trainer(), broken, 5)
    resumed = trainer().train(broken)
    assert "vidground: resuming from checkpoint-" in (broken.out / "train.log").read_text()
    assert equal(resumed.checkpoint, unbroken.checkpoint)
    assert resumed.tokens == unbroken.tokens


@pytest.mark.slow
@pytest.mark.parametrize("made", [TRLRLOO(TRLRLOOConfig(**SETTINGS, lora_r=4)), TRLGRPO(TRLGRPOConfig(**SETTINGS, lora_r=4))])
def test_adapters_are_trained_by_rollouts(made: Any, job: TrainJob) -> None:
    result = made.train(job)
    before, after = weights(Path(job.model)), weights(result.checkpoint)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert changed
    assert all("_proj.weight" in name and "visual" not in name for name in changed)


def test_it_is_found_by_its_entry_point() -> None:
    assert load_registry(restrict="trl").get("trainer", "trl-rloo") is TRLRLOO


def test_every_option_is_described() -> None:
    assert all(field.description for field in TRLRLOOConfig.model_fields.values())


@pytest.mark.parametrize("preset", list(TRLRLOOConfig.presets))
def test_presets_name_real_options_and_are_those_of_grpo(preset: str) -> None:
    made = TRLRLOO(TRLRLOOConfig(preset=preset))  # type: ignore[arg-type]
    wanted = TRLRLOOConfig.presets[preset]
    assert {name: getattr(made.config, name) for name in wanted} == dict(wanted)
    assert all(PRESETS[preset][name] == value for name, value in wanted.items())
    assert made.problems() == []


def test_problems_of_batches_and_rewards_are_found() -> None:
    assert trainer(num_iterations=3).problems()[0].endswith("the next valid value is save_steps = 3.")
    assert len(trainer(rewards="no-such-reward").problems()) == 1


def test_rewards_that_read_tags_need_them() -> None:
    with pytest.raises(ValidationError, match="format_reward needs answer_format = 'think': the tags are not asked for otherwise"):
        TRLRLOOConfig(format_reward=1.0)
    with pytest.raises(ValidationError, match="rewards = 'video-r1' needs answer_format = 'think'"):
        TRLRLOOConfig(rewards="video-r1")


def test_adapters_that_do_not_fit_are_refused() -> None:
    (sharded,) = TRLRLOO(TRLRLOOConfig(lora_r=4, parallel="fsdp2", processes=2)).problems()
    assert sharded == "parallel = 'fsdp2' and lora_r = 4 are not merged into one checkpoint here; set parallel = 'ddp'."
    found = TRLGRPO(TRLGRPOConfig(lora_r=4, reference="nano", beta=-0.01)).problems()
    assert found[0].startswith("reference = 'nano' and lora_r = 4: with adapters TRL takes the divergence to the model without them")
    assert found[0].endswith("set lora_r = 0, or leave reference out.")
