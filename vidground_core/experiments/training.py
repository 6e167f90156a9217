"""vg train: a curated set, or any data set, becomes a checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidground_core.errors import ConfigError, InputError, MissingBackendError
from vidground_core.experiments.assembly import Assembly, default_options, described
from vidground_core.experiments.context import Context
from vidground_core.models import resolve_model
from vidground_core.plugins import blame
from vidground_core.runs.directory import RunDirectory
from vidground_core.runs.layout import Layout
from vidground_core.runs.questions import write_questions
from vidground_core.runs.set_aside import SetAsideLog
from vidground_core.tables import count, parts
from vidground_core.trainers.base import Trainer, TrainJob


@dataclass(frozen=True)
class TrainRequest:
    """What `vg train` is asked: `data` is a filtered directory, a table of questions, or any data set as NAME:PATH.

    `devices` are the GPUs it may use, as CUDA_VISIBLE_DEVICES names them; empty for all.
    """

    data: str
    out: Path
    resume: bool = True
    devices: str = ""
    stop: threading.Event = field(default_factory=threading.Event, compare=False)


def require_trainer(assembly: Assembly) -> Trainer[Any]:
    """The trainer named in the settings. Raises ConfigError where none is."""
    trainer = assembly.trainer()
    if trainer is None:
        raise ConfigError(f"no trainer given: --trainer NAME; there is: {', '.join(assembly.registry.names('trainer')) or 'none'}")
    return trainer


def train_job(request: TrainRequest, assembly: Assembly) -> TrainJob:
    """The job of a request, without touching the disk. Raises ConfigError where no model is given."""
    settings = assembly.settings
    if not settings.model:
        raise ConfigError("no model to train is given: --model NAME or PATH (nano is a small one that comes along)")
    folder = question_folder(Path(request.data)) or request.out / "questions"
    threads = settings.run.threads or None
    model = resolve_model(settings.model)
    return TrainJob(folder, model, request.out, settings.seed, request.resume, threads, request.devices, request.stop)


def question_folder(path: Path) -> Path | None:
    """The table of questions that a path means: the kept set of a filtered directory, a detection's questions, or the table itself."""
    for folder in (path / "kept", path / "questions", path):
        if folder.is_dir() and parts(folder):
            return folder
    return None


def plan_training(request: TrainRequest, assembly: Assembly, *, made_before: bool = False) -> dict[str, Any]:
    """The object of `vg train --dry-run --json`: what would run, `notes` on it, and what is missing here (`warnings`). Writes nothing.

    The questions of a data set that is no folder yet are written when the training starts, or `made_before` by another step, so their
    folder is not missing. Raises InputError, ConfigError or UnknownComponentError for data that is neither.
    """
    trainer, job = require_trainer(assembly), train_job(request, assembly)
    with blame("trainer", trainer.name, assembly.registry.origin("trainer", trainer.name)):
        plan, warnings = trainer.plan(job), trainer.check(job)
    notes = list(plan.notes)
    if question_folder(Path(request.data)) is None:
        warnings = [line for line in warnings if str(job.data) not in line]
        if not made_before:
            assembly.dataset(request.data)
            notes.append(f"the questions of {request.data!r} are written to {str(job.data)!r} first")
    said = {"notes": notes, "warnings": warnings}
    return {"argv": list(plan.argv), "env": dict(plan.env), "files": dict(plan.files), **said}


def train(request: TrainRequest, assembly: Assembly, context: Context, *, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Trains and returns the object of `vg train --json`. Raises MissingBackendError for what `check` finds."""
    trainer, job = require_trainer(assembly), train_job(request, assembly)
    resolved = {"data": request.data, "model": job.model, "seed": job.seed, "threads": job.threads, "trainer": described(trainer)}
    defaults = {"trainer": default_options(trainer)}
    with RunDirectory.open(request.out, "train", passed=passed, resolved=resolved, defaults=defaults) as directory:
        if directory.done and directory.result is not None:
            return directory.result
        if question_folder(Path(request.data)) is None:
            write_questions(Layout(request.out), assembly.dataset(request.data).rows(), SetAsideLog(Layout(request.out).set_aside_file))
        if count(job.data) == 0:
            raise InputError(f"{job.data}: no question to train on; the filter kept none")
        missing = trainer.check(job)
        if missing:
            raise MissingBackendError(f"trainer {trainer.name!r} cannot start here: " + "\n".join(missing))
        context.emit("step-started", "train", out=str(request.out))
        with blame("trainer", trainer.name, assembly.registry.origin("trainer", trainer.name)):
            done = trainer.train(job)
        result = {"out": str(request.out), "trainer": trainer.name, "checkpoint": str(done.checkpoint), "steps": done.steps}
        result |= {"questions": count(job.data), "prompts": done.prompts, "tokens": done.tokens, "metrics": dict(done.metrics)}
        directory.finish(result)
        context.emit("step-finished", "train", out=str(request.out), steps=done.steps)
        return result
