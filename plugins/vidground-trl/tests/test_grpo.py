from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.checkpoints import newest_complete
from vidground_trl.grpo import TRLGRPO, TRLGRPOConfig
from vidground_trl.job import RUNS, loaded
from vidground_trl.trainer import KEEP_MEMORY

from vidground_core import InputError, MissingBackendError, TrainJob, TrainResult
from vidground_core.models import resolve_model
from vidground_core.plugins import load_registry

from .broken_runs import equal, interrupt_at, kill_at, lines, weights
from .conftest import question

STEPS = 10
SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 2 * STEPS, "prompts_per_step": 2, "num_generations": 4, "save_steps": 2}
SETTINGS |= {"frames": 4, "max_completion_length": 3, "lr": 1e-3, "sample_rows": 1, "beta": 0.04, "micro_batch": 4}


def trainer(**changes: Any) -> TRLGRPO:
    return TRLGRPO(TRLGRPOConfig(**(SETTINGS | changes)))


@pytest.fixture
def job(answering: Path, table: Callable[[list[Any]], Path], videos: list[Path], tmp_path: Path) -> TrainJob:
    """Groups on shared videos, a row of text alone, one of two videos and one whose file is gone."""
    rows = [question(number, videos[number // 2]) for number in range(10)]
    rows += [question(10), question(11, videos[0], videos[1]), question(12, tmp_path / "gone.mp4")]
    return TrainJob(table(rows), str(answering), tmp_path / "out", seed=3, threads=1)


@pytest.mark.slow
def test_training_and_resuming(job: TrainJob, tmp_path: Path) -> None:
    unbroken = trainer().train(job)
    check_result(job, unbroken)
    check_records(job)
    check_checkpoint_loads(unbroken.checkpoint)
    check_a_finished_run_is_returned(job, unbroken)

    # Killed in the middle, with the checkpoint it was writing half done: the same weights in the end.
    broken = replace(job, out=tmp_path / "broken")
    kill_at(trainer(), broken, 5)
    assert not (broken.out / "result.json").exists()
    half = broken.out / "checkpoints" / f"checkpoint-{STEPS + 90}"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    # The newest whole one was damaged since: the one before is gone on from.
    damaged = newest_complete(broken.out / "checkpoints")
    assert damaged is not None
    os.truncate(damaged / "model.safetensors", 1000)
    resumed = trainer().train(broken)
    log = (broken.out / "train.log").read_text()
    assert f"{half.name} is not whole" in log
    assert f"{damaged.name} is damaged (model.safetensors has 1,000 of " in log
    assert "vidground: resuming from checkpoint-" in log
    assert not half.exists()
    assert equal(resumed.checkpoint, unbroken.checkpoint)
    assert (resumed.steps, resumed.prompts, resumed.tokens) == (unbroken.steps, unbroken.prompts, unbroken.tokens)
    timed = ("step_time",)
    for name in ("metrics.jsonl", "samples.jsonl"):
        ours, theirs = ([{k: v for k, v in row.items() if k not in timed} for row in lines(j.out / name)] for j in (broken, job))
        assert ours == theirs

    # Every rollout's video through the vision tower by itself, and nothing looked at before: the same losses and gradients, so nearly the same weights.
    apart = trainer(share_videos=False, video_check=0).train(replace(job, out=tmp_path / "apart"))
    for one, other in zip(lines(job.out / "metrics.jsonl"), lines(tmp_path / "apart" / "metrics.jsonl"), strict=True):
        for name in ("loss", "grad_norm", "reward", "entropy", "kl"):
            assert one[name] == pytest.approx(other[name], rel=1e-3, abs=1e-5)
    for name, value in weights(apart.checkpoint).items():
        torch.testing.assert_close(value, weights(unbroken.checkpoint)[name], rtol=0, atol=1e-3)


def check_result(job: TrainJob, result: TrainResult) -> None:
    assert (result.steps, result.prompts, result.checkpoint) == (STEPS, 2 * STEPS, job.out / "checkpoint")
    assert result.tokens > 2 * STEPS * 4 * 10
    assert result.metrics["video/accuracy_gap"] == result.metrics["video/accuracy_right"] - result.metrics["video/accuracy_mismatched"]
    check = json.loads((job.out / "video_check.json").read_text())
    assert check["held_out"] is False
    assert check["before"]["loss_right"] == result.metrics["video_before/loss_right"] != check["after"]["loss_right"]
    assert {"reward", "kl", "frac_reward_zero_std", "entropy", "rewards/accuracy/mean", "completions/mean_length"} <= result.metrics.keys()
    start, end = weights(Path(job.model)), weights(result.checkpoint)
    assert start.keys() == end.keys()
    for visual in (True, False):
        assert any(("visual" in name) is visual and not torch.equal(start[name], end[name]) for name in start)
    assert all(start[name].dtype == end[name].dtype for name in start)


def check_records(job: TrainJob) -> None:
    metrics = lines(job.out / "metrics.jsonl")
    assert [row["step"] for row in metrics] == list(range(1, STEPS + 1))
    assert [row["prompts"] for row in metrics] == [2 * step for step in range(1, STEPS + 1)]
    assert metrics[-1]["tokens"] > metrics[0]["tokens"] > 0
    samples = lines(job.out / "samples.jsonl")
    assert len(samples) == STEPS
    for row in samples:
        assert row["prompt"].startswith("what color is the square ?\nA. red")
        assert len(row["completions"]) == len(row["rewards"]["accuracy"]) == 4
        right = ("red", "green", "blue", "yellow")[int(row["id"][1:]) % 4]
        assert row["gold"] == right
        assert row["rewards"]["accuracy"] == [float(text.strip() == right) for text in row["completions"]]
    (aside,) = lines(job.out / "set_aside.jsonl")
    assert (aside["id"], "does not exist" in aside["reason"]) == ("q12", True)
    log = (job.out / "train.log").read_text()
    assert "20 prompts of 12 questions in 10 steps; effective batch 8 rollouts (2 prompts x 4), 4 a pass" in log
    assert "and at most 240 completion tokens" in log
    assert "1 questions set aside, listed in" in log


def check_checkpoint_loads(checkpoint: Path) -> None:
    model, processor = AutoModelForImageTextToText.from_pretrained(checkpoint), AutoProcessor.from_pretrained(checkpoint)
    assert (type(model).__name__, type(processor).__name__) == ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLProcessor")
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]
    assert config["text_config"]["use_cache"] is True


def check_a_finished_run_is_returned(job: TrainJob, result: TrainResult) -> None:
    (job.out / "train.log").unlink()
    shutil.move(job.data, job.data.with_name("away"))
    assert trainer().train(job) == result
    assert not (job.out / "train.log").exists()
    shutil.move(job.data.with_name("away"), job.data)
    with pytest.raises(InputError, match=r"holds a training with other settings: lr was 0\.001, now 0\.5; choose another folder"):
        trainer(lr=0.5).train(job)


@pytest.mark.slow
def test_an_interrupted_run_saves_and_goes_on(job: TrainJob) -> None:
    rest = interrupt_at(trainer(prompts=400, save_steps=200), job, 2)
    assert "vidground: interrupted after step" in rest
    (saved,) = (job.out / "checkpoints").glob("checkpoint-*")
    assert (saved / "complete.json").is_file()
    assert 2 <= int(saved.name.rpartition("-")[2]) < 200


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bf16", ["off", "on"])
def test_the_same_on_a_gpu(job: TrainJob, bf16: str) -> None:
    result = trainer(device="cuda", bf16=bf16, gradient_checkpointing=True).train(job)
    check_result(job, result)
    check_checkpoint_loads(result.checkpoint)


def test_the_plan_is_pure_and_says_everything(tmp_path: Path) -> None:
    job = TrainJob(tmp_path / "no-data", "nano", tmp_path / "out", seed=5, threads=2)
    plan = trainer(python="/opt/other/python").plan(job)
    assert plan.argv == ("/opt/other/python", "-m", "vidground_trl.worker", "--config", str(tmp_path / "out" / "worker.json"))
    assert plan.env["OMP_NUM_THREADS"] == "2"
    (text,) = plan.files.values()
    values = json.loads(text)
    assert (values["model"], values["seed"], values["config"]["lr"]) == (resolve_model("nano"), 5, 1e-3)
    assert list(tmp_path.iterdir()) == []
    assert trainer().plan(replace(job, threads=None)).env.keys().isdisjoint({"OMP_NUM_THREADS"})


def test_on_a_cpu_the_allocator_keeps_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = TrainJob(tmp_path, "nano", tmp_path / "out")
    assert KEEP_MEMORY.items() <= trainer(device="cpu").plan(job).env.items()
    assert KEEP_MEMORY.keys().isdisjoint(trainer(device="cuda").plan(job).env)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert "MALLOC_TRIM_THRESHOLD_" not in trainer(device="cpu").plan(job).env, "what the user has set stays"


def test_several_processes_are_launched_by_accelerate(tmp_path: Path) -> None:
    plan = trainer(processes=2, device="auto").plan(TrainJob(tmp_path, "nano", tmp_path / "out", devices="2,3"))
    assert plan.env["CUDA_VISIBLE_DEVICES"] == "2,3"
    config = str(tmp_path / "out" / "accelerate.yaml")
    start = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, "--module", "vidground_trl.worker", "--config"]
    assert list(plan.argv[:-1]) == start
    assert config in plan.files


def test_check_finds_nothing_where_all_is_there(job: TrainJob) -> None:
    assert trainer().check(job) == []
    assert trainer().check(replace(job, model="nano")) == []
    assert trainer().check(replace(job, model="Qwen/Qwen2.5-VL-7B-Instruct")) == []


def test_check_names_missing_data_and_model_with_what_to_do(job: TrainJob, tmp_path: Path) -> None:
    gone = replace(job, data=tmp_path / "gone", model=str(tmp_path / "model"))
    data, model = trainer().check(gone)
    assert (
        data
        == f"the data folder {str(tmp_path / 'gone')!r} does not exist; give the folder of a curated set, such as OUT/kept of `vg filter`."
    )
    assert (
        model
        == f"the model {str(tmp_path / 'model')!r} is no folder here and no hub name (organisation/name); give one of the two, or nano."
    )
    (tmp_path / "gone").mkdir()
    (tmp_path / "model").mkdir()
    data, model = trainer().check(gone)
    assert (
        data == f"the data folder {str(tmp_path / 'gone')!r} holds no part-*.parquet; give the folder of a curated set, such as OUT/kept."
    )
    assert model == f"the model folder {str(tmp_path / 'model')!r} holds no config.json; give a folder that `from_pretrained` loads."


def test_check_finds_missing_packages_of_another_interpreter(job: TrainJob, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" -I -S "$@"\n')  # type: ignore[attr-defined]
    bare.chmod(0o755)
    found = trainer(python=str(bare)).check(job)
    assert f"the package 'trl' is not installed for {bare}; run: {bare} -m pip install 'trl<1.17,>=1.16'." in found
    assert any(line.startswith("the package 'vidground-trl' is not installed") for line in found)


def test_check_names_an_interpreter_that_does_not_run(job: TrainJob) -> None:
    expected = "python = '/no/python' is no interpreter that runs here (FileNotFoundError); give the path of one."
    assert trainer(python="/no/python").check(job) == [expected]


def test_check_asks_for_flash_attention_only_where_it_is_used(job: TrainJob) -> None:
    found = trainer(attention="flash_attention_2").check(job)
    assert found == [f"the package 'flash-attn' is not installed for {sys.executable}; run: {sys.executable} -m pip install 'flash-attn'."]


def test_check_finds_settings_that_do_not_go_together(job: TrainJob) -> None:
    (found,) = trainer(num_iterations=3).check(job)
    assert found.endswith("the next valid value is save_steps = 3.")


def test_check_looks_for_the_reward_and_for_the_packages_of_the_options(job: TrainJob) -> None:
    (found,) = trainer(rewards="strictest").check(job)
    assert found.startswith("rewards = 'strictest' is no reward; did you mean 'strict'?")
    assert trainer(rewards="json:dumps").check(job) == []
    (found,) = trainer(processes=4, micro_batch=0, device="auto", parallel="deepspeed-zero3").check(job)
    assert found.startswith(f"the package 'deepspeed' is not installed for {sys.executable}; run: {sys.executable} -m pip install")
    (found,) = trainer(parallel="fsdp2").check(job)
    assert found.startswith("parallel = 'fsdp2' shards the model over processes, but processes = 1")


def test_check_says_what_the_worker_would_refuse(job: TrainJob) -> None:
    (found,) = trainer(prompt="barre").check(job)
    assert found.startswith("unknown prompt 'barre'; did you mean 'bare'?")
    extra = {"use_vllm": True, "learning_rate": 1.0, "adam_beta": 0.9, "adam_beta2": 0.9, "output_dir": "x"}
    vllm, ours, unknown, fixed = trainer(extra=extra).check(job)
    assert vllm.startswith("extra: 'use_vllm' corrupts rollouts with images and video in trl 1.16")
    assert ours == "extra: 'learning_rate' is set by the option 'lr' of trl-grpo; set that instead."
    assert re.fullmatch(r"extra: 'adam_beta' is no argument of TRL's GRPOConfig; did you mean 'adam_beta[12]'\?\.", unknown)
    assert fixed == "extra: 'output_dir' is fixed by trl-grpo; leave it out."


def test_where_trl_cannot_be_asked_its_package_is_missing_and_no_more(job: TrainJob) -> None:
    expected = "python = '/no/python' is no interpreter that runs here (FileNotFoundError); give the path of one."
    assert trainer(python="/no/python", extra={"adam_beta": 1}).check(job) == [expected]


@pytest.mark.parametrize("name", list(RUNS))
def test_check_asks_for_the_arguments_of_the_class_that_is_used(name: str) -> None:
    made = load_registry(restrict="trl").get("trainer", name)
    assert made.arguments == loaded(RUNS[name]).arguments_type.__name__


def test_a_plan_for_gpus_says_what_memory_they_need(tmp_path: Path) -> None:
    big = TrainJob(tmp_path, "Qwen/Qwen2.5-VL-7B-Instruct", tmp_path / "out")
    (note,) = TRLGRPO(TRLGRPOConfig(preset="paper", processes=8, parallel="fsdp2")).plan(big).notes
    assert note.startswith("memory, estimated: about ")
    assert "weights 3.9, gradients 3.9, optimizer 7.7, reference 3.9" in note
    (images,) = TRLGRPO(TRLGRPOConfig(preset="paper", processes=8, parallel="fsdp2", video="images")).plan(big).notes
    assert 1.9 < activations_of(images) / activations_of(note) < 2.1
    (note,) = TRLGRPO(TRLGRPOConfig(preset="paper")).plan(replace(big, model="someone/unheard-of")).notes
    assert note == "memory is not estimated: the config.json of 'someone/unheard-of' is not here, and its size is not known by name"
    assert trainer().plan(replace(big, model="nano")).notes == ()


def activations_of(note: str) -> float:
    return float(note.partition("activations ")[2].partition(",")[0])


def test_train_raises_what_check_finds(job: TrainJob, tmp_path: Path) -> None:
    with pytest.raises(MissingBackendError, match=r"the data folder '.*gone' does not exist"):
        trainer().train(replace(job, data=tmp_path / "gone"))
    assert not job.out.exists()
