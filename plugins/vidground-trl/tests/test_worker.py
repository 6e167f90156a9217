from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
import torch
from trl import GRPOConfig
from vidground_trl import worker
from vidground_trl.arguments import refuse_unknown
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.grpo_run import GRPORun
from vidground_trl.job import WorkerJob

from vidground_core import ConfigError, InputError


def run(tmp_path: Path, model: str = "nano", **options: object) -> GRPORun:
    return GRPORun(WorkerJob(tmp_path, model, 0, TRLGRPOConfig(preset="nano", **options)), tmp_path)  # type: ignore[arg-type]


def refuse(extra: dict[str, object]) -> None:
    refuse_unknown(extra, arguments=GRPOConfig, options=TRLGRPOConfig, trainer="trl-grpo")


def test_a_job_reads_back_as_it_was_written(tmp_path: Path) -> None:
    job = WorkerJob(tmp_path / "data", "nano", 7, TRLGRPOConfig(preset="nano", lr=1e-4, extra={"adam_beta2": 0.98}))
    (tmp_path / "worker.json").write_text(job.text(), encoding="utf-8")
    assert WorkerJob.read(tmp_path / "worker.json") == job


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"adam_beta": 1}, r"extra: 'adam_beta' is no argument of TRL's GRPOConfig; did you mean 'adam_beta[12]'\?"),
        ({"learning_rate": 1}, "extra: 'learning_rate' is set by the option 'lr' of trl-grpo; set that instead"),
        ({"beta": 1}, "extra: 'beta' is set by the option 'beta' of trl-grpo; set that instead"),
        ({"use_vllm": True}, "extra: 'use_vllm' corrupts rollouts with images and video in trl 1.16"),
        ({"output_dir": "x"}, "extra: 'output_dir' is fixed by trl-grpo; leave it out"),
    ],
)
def test_arguments_of_trl_that_are_refused(tmp_path: Path, extra: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        refuse(extra)


def test_a_known_argument_of_trl_is_taken() -> None:
    refuse({"adam_beta2": 0.98})


def test_a_model_of_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ConfigError, match=r"is a 'llama' model; trl-grpo trains native video with: qwen2_vl, qwen2_5_vl, qwen3_vl$"):
        run(tmp_path, str(tmp_path)).load(None)


def test_a_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load the model '/no/such/model': "):
        run(tmp_path, "/no/such/model").load(None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device = 'cuda', but torch sees no GPU here; set device to auto or cpu"):
        run(tmp_path, device="cuda")


def test_a_second_worker_in_the_same_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WAITS", (0.01, None))
    with (tmp_path / "worker.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(InputError, match="another training is writing here; wait for it or choose another --out"),
            worker.only_one(tmp_path),
        ):
            pass
    with worker.only_one(tmp_path):
        assert (tmp_path / "worker.lock").exists()
