"""A trainer turns a curated set into a checkpoint; heavy back-ends run in their own process, if need be in their own interpreter."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vidground_core.component import Component
from vidground_core.config import ComponentConfig


class TrainerConfig(ComponentConfig):
    """Options every trainer has."""

    python: str = Field("", description="Interpreter that runs the back-end; the one that runs `vg` by default.")


TrainerConfigT = TypeVar("TrainerConfigT", bound=TrainerConfig)


@dataclass(frozen=True)
class TrainJob:
    """What to train on what: `data` is a folder of canonical Parquet questions, `model` a path or hub name, `out` the run directory.

    `devices` are the GPUs it may use, as CUDA_VISIBLE_DEVICES names them; empty for all. `train` may run in a thread, which is not told of
    Ctrl-C: it looks at `stop` now and then, and ends as by Ctrl-C once that is set.
    """

    data: Path
    model: str
    out: Path
    seed: int = 0
    resume: bool = True
    threads: int | None = None
    devices: str = ""
    stop: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)


@dataclass(frozen=True)
class TrainPlan:
    """All that `train` would do, without doing it. `argv` has flag and value as separate elements; `files` maps path to text.

    `notes` are sentences for who reads the plan, such as the memory that it takes.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainResult:
    """`prompts` counts prompts consumed (not rollouts), `tokens` prompt and completion tokens; `metrics` are the last values."""

    checkpoint: Path
    steps: int
    prompts: int
    tokens: int
    metrics: Mapping[str, float] = field(default_factory=dict)


class Trainer(Component[TrainerConfigT]):
    """Base of trainers; named `<backend>-<method>`."""

    Config: ClassVar[type[Any]] = TrainerConfig

    @abstractmethod
    def check(self, job: TrainJob) -> list[str]:
        """What is missing here (package, device, file), one sentence with its mend each; empty when `train` can start."""
        raise NotImplementedError

    @abstractmethod
    def plan(self, job: TrainJob) -> TrainPlan:
        """Pure: writes nothing, needs no back-end and no GPU. `--dry-run` prints it."""
        raise NotImplementedError

    @abstractmethod
    def train(self, job: TrainJob) -> TrainResult:
        """Runs the plan and follows it. Resumes from the newest checkpoint in `job.out` when `job.resume`.

        Raises MissingBackendError for what `check` finds and VidGroundError with the back-end's own reason where it fails.
        """
        raise NotImplementedError
