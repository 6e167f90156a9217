"""Trainings as a user sees them: started by their planned command, killed, resumed, compared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from vidground_core import Trainer, TrainJob


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def equal(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def kill_at(made: Trainer[Any], job: TrainJob, step: int) -> None:
    """Starts the planned command as a user would and kills it -9 once it has logged that step."""
    plan = made.plan(job)
    job.out.mkdir(exist_ok=True)
    for path, text in plan.files.items():
        Path(path).write_text(text, encoding="utf-8")
    worker = subprocess.Popen(plan.argv, env={**os.environ, **plan.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = job.out / "metrics.jsonl"
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < step:
        assert worker.poll() is None, "the worker ended before it could be killed"
        time.sleep(0.005)
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def interrupt_at(made: Trainer[Any], job: TrainJob, step: int) -> str:
    """Starts the planned command, sends it Ctrl-C after that step and returns what it said from then on; it must end with status 130."""
    plan = made.plan(job)
    job.out.mkdir()
    for path, text in plan.files.items():
        Path(path).write_text(text, encoding="utf-8")
    worker = subprocess.Popen(plan.argv, env={**os.environ, **plan.env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert worker.stdout is not None
    with worker.stdout as output:
        next(line for line in output if line.startswith(f"vidground: step {step}/"))
        worker.send_signal(signal.SIGINT)
        rest = output.read()
    assert worker.wait() == 130
    return rest
