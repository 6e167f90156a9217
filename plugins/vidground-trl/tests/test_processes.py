"""Two processes on a CPU: DDP as it is launched, and FSDP2 from the config that `accelerate launch` would read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from vidground_trl.grpo import TRLGRPO, TRLGRPOConfig
from vidground_trl.process import WorkerError
from vidground_trl.sharing import refuse_other_processes

from vidground_core import ConfigError, TrainJob, TrainPlan

from .broken_runs import lines, weights
from .conftest import question

SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 12, "prompts_per_step": 4, "num_generations": 4, "save_steps": 2}
SETTINGS |= {"frames": 4, "max_completion_length": 3, "lr": 1e-3, "beta": 0.04, "processes": 2, "hold_out": 2, "sample_rows": 1}
REWARD = """
def brief(completion, row):
    return 0.25 if row.id != "q3" else None
"""


def trainer(**changes: Any) -> TRLGRPO:
    return TRLGRPO(TRLGRPOConfig(**(SETTINGS | changes)))


@pytest.fixture
def job(answering: Path, table: Callable[[list[Any]], Path], videos: list[Path], tmp_path: Path) -> TrainJob:
    rows = [question(number, videos[number % 6]) for number in range(14)]
    return TrainJob(table(rows), str(answering), tmp_path / "out", seed=3, threads=1)


def another_interpreter(tmp_path: Path) -> str:
    """A virtual environment of its own that finds the packages of this one."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site / "ours.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in ours))
    return str(tmp_path / "venv" / "bin" / "python")


def sharded(plan: TrainPlan, as_planned: TrainPlan) -> tuple[list[str], dict[str, str]]:
    """The command of a CPU plan with the worker under FSDP2, as the config file of a GPU plan says."""
    config = yaml.safe_load(next(text for path, text in as_planned.files.items() if path.endswith("accelerate.yaml")))
    env = {
        f"{name.upper()}": str(value).lower() if isinstance(value, bool) else str(value) for name, value in config["fsdp_config"].items()
    }
    argv = list(plan.argv)
    where = argv.index("--module")
    argv[where : where + 2] = [str(Path(__file__).with_name("fsdp_on_a_cpu.py"))]
    return argv, {**os.environ, **plan.env, **env, "ACCELERATE_USE_FSDP": "true"}


@pytest.mark.slow
def test_shared_and_sharded_training_are_the_same(job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "briefness.py").write_text(REWARD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    changes: dict[str, Any] = {"rewards": "briefness:brief", "report_to": ["tensorboard"], "python": another_interpreter(tmp_path)}
    made = trainer(**changes)
    result = made.train(job)
    assert (result.steps, result.prompts) == (3, 12)
    # Twelve prompts of four rollouts: all tokens of both processes are counted.
    assert result.tokens > 12 * 4 * 10
    assert result.metrics["reward"] == pytest.approx(0.25)
    check_samples(job)
    check_tensorboard(job)
    assert f"{tmp_path}/venv" in (job.out / "plan.json").read_text()

    out = tmp_path / "sharded"
    cut = replace(job, out=out)
    argv, env = sharded(made.plan(cut), trainer(parallel="fsdp2", device="auto").plan(cut))
    out.mkdir()
    for path, text in made.plan(cut).files.items():
        Path(path).write_text(text, encoding="utf-8")
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # The checkpoint of sharded weights is looked at, and gives what the weights gave that were not.
    looks = [json.loads((folder / "video_check.json").read_text()) for folder in (job.out, out)]
    assert looks[0]["questions"] == looks[1]["questions"]
    for name, value in looks[0]["after"].items():
        assert looks[1]["after"][name] == pytest.approx(value, abs=1e-3), name
    assert json.loads((out / "result.json").read_text())["metrics"]["video/loss_right"] == looks[1]["after"]["loss_right"]
    one, other = weights(result.checkpoint), weights(out / "checkpoint")
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=1e-4)
    assert (result.checkpoint / "config.json").read_text() == (out / "checkpoint" / "config.json").read_text()


def check_samples(job: TrainJob) -> None:
    samples = lines(job.out / "samples.jsonl")
    assert len(samples) == 3
    for row in samples:
        (shown,) = row["media"]
        assert Path(shown["path"]).is_file()
        assert (shown["type"], shown["frames"], shown["view"]) == ("video", 4, "ordered")
        assert row["rewards"]["accuracy"] == [0.25 if row["id"] != "q3" else 0.0] * 4


def check_tensorboard(job: TrainJob) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(job.out / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/reward")] == [1, 2, 3]
    metrics = [row["reward"] for row in lines(job.out / "metrics.jsonl")]
    assert [event.value for event in events.Scalars("train/reward")] == pytest.approx(metrics)


def test_processes_that_are_missing_are_not_made_up_for() -> None:
    two = TRLGRPOConfig(preset="nano", processes=2)
    with pytest.raises(ConfigError, match=r"processes = 2, but 1 were started; start the worker by the command in plan\.json"):
        refuse_other_processes(two, 1, True)
    refuse_other_processes(two, 2, True)
    with pytest.raises(ConfigError, match="processes = 2 with device = 'auto' takes GPUs, but torch sees none here; set device to cpu"):
        refuse_other_processes(two.model_copy(update={"device": "auto"}), 1, True)


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="there are that many GPUs here")
def test_gpus_that_are_missing_are_counted() -> None:
    seen = torch.cuda.device_count()
    with pytest.raises(ConfigError, match=f"processes = 8, but torch sees {seen} GPUs here; set processes to {seen}, or free more of them"):
        refuse_other_processes(TRLGRPOConfig(processes=8), 8, False)


@pytest.mark.slow
def test_a_reward_that_fails_ends_the_training_with_its_name(job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing.py").write_text("def reward(completion, row):\n    raise KeyError('lost')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WorkerError, match=r"rewards = 'failing:reward' failed on row 'q\d+': KeyError: 'lost' \(log: "):
        trainer(processes=1, rewards="failing:reward", video_check=0).train(job)
