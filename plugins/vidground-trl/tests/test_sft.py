from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.options import PAPER, batch_schedule
from vidground_trl.sft import TRLSFT, TRLSFTConfig

from vidground_core import InputError, TrainJob
from vidground_core.plugins import load_registry
from vidground_core.testing.contracts import TrainerContract

from .broken_runs import equal, interrupt_at, kill_at, lines, weights
from .conftest import question

STEPS = 10
SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 4 * STEPS, "prompts_per_step": 4, "micro_batch": 2, "save_steps": 3, "frames": 4}
SETTINGS |= {"lr": 1e-3, "warmup_steps": 0, "schedule": "constant", "video_check": 0}


def trainer(**changes: Any) -> TRLSFT:
    return TRLSFT(TRLSFTConfig(**(SETTINGS | changes)))


@pytest.fixture
def job(tiny: Callable[[str], Path], table: Callable[[list[Any]], Path], videos: list[Path], image: Path, tmp_path: Path) -> TrainJob:
    """Rows with a video, an image, text alone, two videos, and one whose file is gone."""
    rows = [question(number, videos[number // 2]) for number in range(9)]
    rows += [question(9, image), question(10), question(11, videos[0], videos[1]), question(12, tmp_path / "gone.mp4")]
    return TrainJob(table(rows), str(tiny("qwen2_5_vl")), tmp_path / "out", seed=3, threads=1)


class TestContract(TrainerContract):
    component: ClassVar[type[Any]] = TRLSFT


@pytest.mark.slow
def test_training_and_resuming(job: TrainJob, tmp_path: Path) -> None:
    unbroken = trainer().train(job)
    assert (unbroken.steps, unbroken.prompts, unbroken.checkpoint) == (STEPS, 4 * STEPS, job.out / "checkpoint")
    metrics = lines(job.out / "metrics.jsonl")
    assert [(row["step"], row["prompts"]) for row in metrics] == [(step, 4 * step) for step in range(1, STEPS + 1)]
    assert metrics[-1]["tokens"] == unbroken.tokens > 4 * STEPS * 10
    assert {"loss", "grad_norm", "entropy", "mean_token_accuracy", "learning_rate"} <= unbroken.metrics.keys()
    assert sum(row["loss"] for row in metrics[-3:]) < 0.9 * sum(row["loss"] for row in metrics[:3])
    log = (job.out / "train.log").read_text()
    assert "40 prompts of 12 questions in 10 steps; effective batch 4 prompts, 2 a pass" in log
    assert "80 of them with a loss" in log
    assert [row["id"] for row in lines(job.out / "set_aside.jsonl")] == ["q12"]
    check_checkpoint(Path(job.model), unbroken.checkpoint)
    check_a_finished_run_is_returned(job, unbroken)

    broken = replace(job, out=tmp_path / "broken")
    kill_at(trainer(), broken, 5)
    resumed = trainer().train(broken)
    assert "vidground: resuming from checkpoint-" in (broken.out / "train.log").read_text()
    assert equal(resumed.checkpoint, unbroken.checkpoint)
    assert (resumed.steps, resumed.prompts, resumed.tokens) == (unbroken.steps, unbroken.prompts, unbroken.tokens)
    assert lines(broken.out / "metrics.jsonl") == metrics


def check_checkpoint(start: Path, checkpoint: Path) -> None:
    AutoProcessor.from_pretrained(checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    before, after = weights(start), weights(checkpoint)
    assert before.keys() == after.keys()
    for visual in (True, False):
        assert any(("visual" in name) is visual and not torch.equal(before[name], after[name]) for name in before)


def check_a_finished_run_is_returned(job: TrainJob, result: Any) -> None:
    (job.out / "train.log").unlink()
    assert trainer().train(job) == result
    assert not (job.out / "train.log").exists()
    with pytest.raises(InputError, match=r"holds a training with other settings: lr was 0\.001, now 0\.5; choose another folder"):
        trainer(lr=0.5).train(job)


@pytest.mark.slow
def test_adapters_are_trained_resumed_and_merged(job: TrainJob, tmp_path: Path) -> None:
    lora = trainer(lora_r=4, lora_alpha=8, lora_dropout=0.1, lr=1e-2)
    unbroken = lora.train(job)
    before, after = weights(Path(job.model)), weights(unbroken.checkpoint)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert changed
    assert all("_proj.weight" in name and "visual" not in name for name in changed)
    broken = replace(job, out=tmp_path / "broken")
    kill_at(lora, broken, 5)
    assert not list(broken.out.glob("checkpoints/*/model.safetensors"))
    assert equal(lora.train(broken).checkpoint, unbroken.checkpoint)


@pytest.mark.slow
def test_an_interrupted_run_saves_and_goes_on(job: TrainJob) -> None:
    rest = interrupt_at(trainer(prompts=1600, save_steps=200), job, 2)
    assert "vidground: interrupted after step" in rest
    (saved,) = (job.out / "checkpoints").glob("checkpoint-*")
    assert (saved / "complete.json").is_file()
    assert 2 <= int(saved.name.rpartition("-")[2]) < 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen3_vl"])
def test_the_other_architectures_learn_too(kind: str, job: TrainJob, tiny: Callable[[str], Path]) -> None:
    result = trainer().train(replace(job, model=str(tiny(kind))))
    losses = [row["loss"] for row in lines(job.out / "metrics.jsonl")]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    AutoModelForImageTextToText.from_pretrained(result.checkpoint)


def test_the_seed_orders_the_prompts(job: TrainJob) -> None:
    from vidground_trl.rows import select

    orders = [select(job.data, trainer().config, seed=seed)[0].order for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_it_is_found_by_its_entry_point() -> None:
    assert load_registry(restrict="trl").get("trainer", "trl-sft") is TRLSFT


def test_planning_imports_no_model_library(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from vidground_core import TrainJob
from vidground_trl.sft import TRLSFT, TRLSFTConfig
trainer, job = TRLSFT(TRLSFTConfig(preset="nano")), TrainJob(Path("data"), "nano", Path("out"))
trainer.plan(job)
assert len(trainer.check(job)) == 1, trainer.check(job)
print([name for name in ("torch", "transformers", "trl", "datasets", "accelerate", "peft") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_the_plan_names_the_trainer(job: TrainJob) -> None:
    (text,) = trainer().plan(job).files.values()
    assert json.loads(text)["trainer"] == "trl-sft"
    assert json.loads(text)["config"] == trainer().config.model_dump(mode="json", exclude={"python"})
    assert not job.out.exists()


def test_every_option_is_described() -> None:
    assert all(field.description for field in TRLSFTConfig.model_fields.values())


@pytest.mark.parametrize("preset", list(TRLSFTConfig.presets))
def test_presets_name_real_options_and_are_valid(preset: str) -> None:
    made = TRLSFT(TRLSFTConfig(preset=preset))  # type: ignore[arg-type]
    wanted = TRLSFTConfig.presets[preset]
    assert {name: getattr(made.config, name) for name in wanted} == dict(wanted)
    assert made.problems() == []


def test_the_paper_preset_is_table_7_without_rollouts() -> None:
    config = TRLSFTConfig(preset="paper")
    assert {name: getattr(config, name) for name in PAPER} == dict(PAPER)
    assert (config.frames, config.max_pixels, config.lr, config.schedule, config.max_grad_norm) == (16, 501760, 1e-6, "cosine", 5.0)
    assert batch_schedule(config.model_copy(update={"processes": 8}), 10**5).steps == 700


def test_prompts_are_rounded_up_to_whole_steps_over_several_passes(job: TrainJob) -> None:
    from vidground_trl.rows import select

    config = TRLSFTConfig(prompts=30, prompts_per_step=8, micro_batch=2, processes=2)
    assert batch_schedule(config, 12).prompts == 32
    assert batch_schedule(config, 12).accumulation == 2
    order = select(job.data, config, seed=0)[0].order
    assert len(order) == 32
    assert len(set(order)) == 12


def test_a_batch_that_processes_cannot_share_is_refused_with_the_next_valid_one() -> None:
    expected = "prompts_per_step = 8 cannot be shared by 3 processes; the next valid value is prompts_per_step = 9."
    assert TRLSFT(TRLSFTConfig(prompts_per_step=8, processes=3)).problems() == [expected]


def test_a_micro_batch_that_does_not_divide_is_refused_with_the_next_smaller() -> None:
    expected = "micro_batch = 3 does not divide the 8 prompts of a process and step; the next smaller valid value is micro_batch = 2."
    assert TRLSFT(TRLSFTConfig(prompts_per_step=8, micro_batch=3)).problems() == [expected]
    with pytest.raises(ValueError, match="micro_batch = 3 does not divide"):
        batch_schedule(TRLSFTConfig(prompts_per_step=8, micro_batch=3), 8)


def test_a_rationale_without_its_place_is_refused() -> None:
    with pytest.raises(ValidationError, match="rationale needs answer_format = 'think': there is no place for it otherwise"):
        TRLSFTConfig(rationale="process")


def test_pixel_limits_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="min_pixels = 200 is more than max_pixels = 100"):
        TRLSFTConfig(min_pixels=200, max_pixels=100)


def test_check_asks_for_peft_only_where_it_is_used(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from vidground_trl import trainer as module

    found = module._version
    monkeypatch.setattr(module, "_version", lambda name: None if name == "peft" else found(name))
    assert trainer().check(job) == []
    (line,) = trainer(lora_r=4).check(job)
    assert line == f"the package 'peft' is not installed for {sys.executable}; run: {sys.executable} -m pip install 'peft>=0.18'."
