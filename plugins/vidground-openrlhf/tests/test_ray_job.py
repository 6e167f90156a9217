"""A real Ray cluster of one machine: jobs are submitted, followed, stopped and resumed, and a failure's reason is found in their logs."""

from __future__ import annotations

import ast
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openrlhf")
pytest.importorskip("ray")

from vidground_openrlhf import checks, cluster, parser_options
from vidground_openrlhf.launch import TrainingError, follow
from vidground_openrlhf.trainers import OpenRLHFGRPO

from vidground_core import InputError, TrainJob

from .conftest import NANO

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
# What a training leaves behind: a folder with config and weights.
CHECKPOINT = """
import pathlib, sys
def save(out):
    folder = pathlib.Path(out) / "checkpoint"
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
"""
FAILS_ONCE = """
flag = pathlib.Path(sys.argv[1]) / "seen"
if not flag.exists():
    flag.touch()
    raise RuntimeError("the first attempt")
print("the second attempt", flush=True)
save(sys.argv[1])
"""
WAITS = "import time; print('up', flush=True); time.sleep(120)"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def started_with(mark: str) -> list[int]:
    """Processes whose environment holds the mark: those of the cluster, and all that they started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and folder.name != str(os.getpid()):
            with suppress(OSError):
                if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def end_all(mark: str) -> None:
    """Ends what carries the mark and nothing else: `ray stop` would end every cluster of the machine."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        for pid in started_with(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.monotonic() + patience
        while started_with(mark) and time.monotonic() < end:
            time.sleep(0.2)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The dashboard of a cluster that says it has two GPUs."""
    # Ray's sockets have paths of at most 107 bytes, so pytest's own folders are too deep.
    folder = tempfile.mkdtemp(prefix="vgray", dir="/tmp")
    port, mark = free_port(), f"VIDGROUND_TEST_CLUSTER={folder}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "RAY_USAGE_STATS_ENABLED": "0", "VIDGROUND_TEST_CLUSTER": folder}
    ports = ["--port", str(free_port()), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port)]
    command = [*RAY, "start", "--head", "--num-cpus", "2", "--num-gpus", "2", *ports, "--temp-dir", folder]
    try:
        subprocess.run(command, check=True, env=env, capture_output=True, text=True)
        yield f"http://127.0.0.1:{port}"
    finally:
        end_all(mark)
        shutil.rmtree(folder, ignore_errors=True)
    assert started_with(mark) == []


def grpo(address: str, **options: Any) -> OpenRLHFGRPO:
    return OpenRLHFGRPO(OpenRLHFGRPO.Config(**(NANO | {"launch": "ray-job", "ray_address": address, "gpus": 2} | options)))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The trainer's own way from the launch on, with other code in place of the command that needs GPUs and vLLM."""

    def put(trainer: OpenRLHFGRPO, job: TrainJob, code: str) -> list[str]:
        plan = trainer.plan(job)
        argv = [*plan.argv[: plan.argv.index("--") + 1], "python3", "-c", code, str(job.out)]
        monkeypatch.setattr(OpenRLHFGRPO, "check", lambda *_: [])
        monkeypatch.setattr(OpenRLHFGRPO, "plan", lambda *_: type(plan)(tuple(argv), plan.env, plan.files))
        return argv

    return put


def wait_for(text: str, log: Path) -> None:
    while not (log.exists() and text in log.read_text()):
        time.sleep(0.2)


def test_its_gpus_are_counted(address: str, job: TrainJob) -> None:
    assert checks.cluster_gpus(address) == 2
    assert "the Ray cluster has" not in "\n".join(grpo(address).check(job))
    assert "4 GPUs are asked for (1 nodes with 4), and the Ray cluster has 2" in "\n".join(grpo(address, gpus=4).check(job))


def test_a_failing_job_says_why(address: str, job: TrainJob, tmp_path: Path) -> None:
    """OpenRLHF itself, submitted to the cluster, does not find vLLM on this machine."""
    plan = grpo(address).plan(job)
    with pytest.raises(TrainingError, match=r"^ModuleNotFoundError: No module named '(vllm|deepspeed|flash_attn)'"):
        follow(plan.argv, env=plan.env, log=tmp_path / "train.log", stop=threading.Event())


def test_an_attempt_is_not_submitted_twice(address: str, tmp_path: Path) -> None:
    argv = [*RAY, *cluster.submission(["sleep", "30"], address=address, name="vidground-twice", runtime_env={})]
    argv.insert(argv.index("--"), "--no-wait")
    subprocess.run(argv, check=True, capture_output=True)
    with pytest.raises(TrainingError, match="already exists"):
        follow(argv, env={}, log=tmp_path / "train.log", stop=threading.Event())
    cluster.stop(address, "vidground-twice")
    assert cluster.status(address, "vidground-twice") == "STOPPED"


def test_a_job_that_is_none_cannot_be_stopped(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    cluster.stop(address, "vidground-none")
    assert "the job vidground-none may still run on the cluster (HTTP Error 404" in caplog.text
    assert f"ray job stop --address {address} vidground-none" in caplog.text


def test_a_failed_training_is_resumed(address: str, job: TrainJob, stand_in: Any) -> None:
    """Ray keeps the id of an ended job, so the next attempt has another one."""
    trainer = grpo(address)
    stand_in(trainer, job, CHECKPOINT + FAILS_ONCE)
    with pytest.raises(TrainingError, match="^RuntimeError: the first attempt"):
        trainer.train(job)
    assert cluster.newest(address, job.out) == cluster.Attempt(cluster.job_name(job.out, 1), 1, "FAILED")
    result = trainer.train(job)
    assert result.checkpoint == job.out / "checkpoint"
    assert "the second attempt" in (job.out / "train.log").read_text()
    assert cluster.newest(address, job.out) == cluster.Attempt(cluster.job_name(job.out, 2), 2, "SUCCEEDED")
    assert trainer.train(job) == result, "a finished one is not run again"


def test_a_job_that_runs_unobserved_is_followed(address: str, job: TrainJob, stand_in: Any) -> None:
    """As after a crash of the machine that submitted it."""
    trainer = grpo(address)
    argv = stand_in(trainer, job, CHECKPOINT + "import time; time.sleep(25); save(sys.argv[1]); print('from afar', flush=True)")
    argv.insert(argv.index("--"), "--no-wait")
    job.out.mkdir(parents=True)
    subprocess.run(argv, check=True, capture_output=True)
    told = (
        rf"the job {cluster.job_name(job.out, 1)} of this directory is \w+ on the cluster; end it first: ray job stop --address {address}"
    )
    with pytest.raises(InputError, match=told):
        trainer.train(job)
    (job.out / "job.json").write_text(trainer.plan(job).files[str(job.out / "job.json")])
    with pytest.raises(InputError, match=told):
        trainer.train(replace(job, resume=False))
    assert trainer.train(job).checkpoint == job.out / "checkpoint"
    assert "from afar" in (job.out / "train.log").read_text()
    assert cluster.newest(address, job.out) == cluster.Attempt(cluster.job_name(job.out, 1), 1, "SUCCEEDED")
    (job.out / "finished").unlink()
    assert trainer.train(job).checkpoint == job.out / "checkpoint", "one that ended unobserved is taken as it is"
    assert cluster.newest(address, job.out).number == 1  # type: ignore[union-attr]


def test_a_stop_ends_the_job_on_the_cluster(address: str, job: TrainJob, stand_in: Any) -> None:
    trainer, log = grpo(address), job.out / "train.log"
    stand_in(trainer, job, WAITS)
    watcher = threading.Thread(target=lambda: (wait_for("up\n", log), job.stop.set()), daemon=True)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.train(job)
    assert cluster.status(address, cluster.job_name(job.out, 1)) == "STOPPED"
    assert (job.out / "prepared.json").exists(), "what was prepared is kept for the next start"


def test_a_key_reaches_the_job_by_a_file_and_nothing_else(
    address: str, job: TrainJob, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a job that is stopped on the cluster, of which Ray's command line says 0, is no finished training."""
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    trainer, name = grpo(address, wandb=True), cluster.job_name(job.out, 1)
    read = (
        "import netrc, os; print('key of', len(netrc.netrc(os.environ['NETRC']).authenticators('api.wandb.ai')[2]), 'letters', flush=True);"
    )
    stand_in(trainer, job, read + WAITS)
    watcher = threading.Thread(target=lambda: (wait_for("up\n", job.out / "train.log"), cluster.stop(address, name)), daemon=True)
    watcher.start()
    with pytest.raises(
        TrainingError, match=f"the job {name} was stopped on the cluster; the same command goes on from its newest checkpoint"
    ):
        trainer.train(job)
    assert "key of 10 letters" in (job.out / "train.log").read_text()
    assert "secret-key" not in json.dumps(cluster.ask(address, "/api/jobs/"))
    assert not (job.out / "wandb.netrc").exists()
    assert not (job.out / "finished").exists()


def test_openrlhf_connects_in_the_jobs_runtime_environment(address: str, job: TrainJob, tmp_path: Path) -> None:
    """By its own call of ray.init, whose variables Ray would not join with the job's unless it is told."""
    source = parser_options.find_source()
    assert source is not None
    calls = [
        node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call) and ast.unparse(node.func) == "ray.init"
    ]
    see = "print({name: os.environ[name] for name in ('NCCL_DEBUG', 'TOKENIZERS_PARALLELISM')}, flush=True)"
    code = f"import os, ray\n{ast.unparse(calls[0])}\n{see}"
    plan = grpo(address, runtime_env={"env_vars": {"NCCL_DEBUG": "INFO"}}).plan(job)
    argv = [*plan.argv[: plan.argv.index("--") + 1], "python3", "-c", code]
    follow(argv, env=plan.env, log=tmp_path / "train.log", stop=threading.Event())
    assert "{'NCCL_DEBUG': 'INFO', 'TOKENIZERS_PARALLELISM': 'false'}" in (tmp_path / "train.log").read_text()
