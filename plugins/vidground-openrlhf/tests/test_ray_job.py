"""A real Ray cluster of one machine: jobs are submitted, followed and stopped, and a failure's reason is found in their logs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openrlhf")
pytest.importorskip("ray")

from vidground_openrlhf import checks
from vidground_openrlhf.arguments import submission
from vidground_openrlhf.launch import TrainingError, follow
from vidground_openrlhf.trainers import OpenRLHFGRPO

from vidground_core import TrainJob

from .conftest import NANO

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The dashboard of a cluster that says it has two GPUs."""
    # Ray's sockets have paths of at most 107 bytes, so pytest's own folders are too deep.
    folder = tempfile.mkdtemp(prefix="vgray", dir="/tmp")
    port = free_port()
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}
    ports = ["--port", str(free_port()), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port)]
    command = [*RAY, "start", "--head", "--num-cpus", "2", "--num-gpus", "2", *ports, "--temp-dir", folder]
    subprocess.run(command, check=True, env=env, capture_output=True, text=True)
    yield f"http://127.0.0.1:{port}"
    subprocess.run([*RAY, "stop", "--force"], check=True, env=env, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def grpo(address: str, **options: Any) -> OpenRLHFGRPO:
    return OpenRLHFGRPO(OpenRLHFGRPO.Config(**(NANO | {"launch": "ray-job", "ray_address": address, "gpus": 2} | options)))


def status(address: str, name: str) -> str:
    done = subprocess.run([*RAY, "job", "status", "--address", address, name], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_its_gpus_are_counted(cluster: str, job: TrainJob) -> None:
    assert checks.cluster_gpus(cluster) == 2
    assert "the Ray cluster has" not in "\n".join(grpo(cluster).check(job))
    assert "4 GPUs are asked for (1 nodes with 4), and the Ray cluster has 2" in "\n".join(grpo(cluster, gpus=4).check(job))


def test_a_failing_job_says_why(cluster: str, job: TrainJob, tmp_path: Path) -> None:
    """OpenRLHF itself, submitted to the cluster, does not find vLLM on this machine."""
    plan = grpo(cluster).plan(job)
    with pytest.raises(TrainingError, match=r"^ModuleNotFoundError: No module named '(vllm|deepspeed|flash_attn)'"):
        follow(plan.argv, env=plan.env, log=tmp_path / "train.log", stop=threading.Event())


def test_the_same_training_is_not_submitted_twice(cluster: str, tmp_path: Path) -> None:
    argv = [*RAY, *submission(["sleep", "30"], address=cluster, name="vidground-twice", runtime_env={})]
    argv.insert(argv.index("--"), "--no-wait")
    subprocess.run(argv, check=True, capture_output=True)
    with pytest.raises(TrainingError, match="already exists"):
        follow(argv, env={}, log=tmp_path / "train.log", stop=threading.Event())
    subprocess.run([*RAY, "job", "stop", "--address", cluster, "vidground-twice"], check=True, capture_output=True)


def test_a_stop_ends_the_job_on_the_cluster(cluster: str, job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer's own way from the launch on, with a command that waits in place of the one that needs GPUs."""
    trainer = grpo(cluster)
    plan = trainer.plan(job)
    argv = [*plan.argv[: plan.argv.index("--") + 1], "python3", "-c", "import time; print('up', flush=True); time.sleep(120)"]
    name = argv[argv.index("--submission-id") + 1]
    monkeypatch.setattr(OpenRLHFGRPO, "check", lambda *_: [])
    monkeypatch.setattr(OpenRLHFGRPO, "plan", lambda *_: type(plan)(tuple(argv), plan.env, plan.files))
    log = job.out / "train.log"

    def stop_once_up() -> None:
        while not (log.exists() and "up\n" in log.read_text()):
            time.sleep(0.2)
        job.stop.set()

    watcher = threading.Thread(target=stop_once_up, daemon=True)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.train(job)
    assert "STOPPED" in status(cluster, name).upper()
    assert (job.out / "prepared.json").exists(), "what was prepared is kept for the next start"
