"""Options of the executor `ray`."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from vidground_core import ExecutorConfig


class RayConfig(ExecutorConfig):
    """Options of the executor `ray`."""

    address: str = Field(
        "", description="Cluster: empty for one of its own on this machine, auto for the running one, host:port, or ray://host:port."
    )
    workers: str = Field("1", description="Workers, each with an engine of its own: a number, or MIN..MAX as the cluster has room.")
    num_cpus: float = Field(1.0, ge=0, description="CPUs set aside for a worker; a fraction where it mostly waits, as for an API.")
    num_gpus: float = Field(0.0, ge=0, description="GPUs of a worker; with 0.5 two workers share one.")
    batch: int = Field(64, ge=1, description="Most asks in one message to a worker.")
    in_flight: int = Field(
        0, ge=0, description="Most asks a worker holds, and asks again when it dies; 0: two windows of a batch engine, else 128."
    )
    attempts: int = Field(3, ge=2, description="Deaths of its worker after which an ask is a failed reply.")
    deaths: int = Field(30, ge=1, description="Deaths of workers in a row, without a reply between them, that end the run.")
    start_timeout: float = Field(600.0, gt=0, description="Seconds to wait until the cluster has room for the fewest workers.")
    runtime_env: dict[str, Any] = Field(
        default_factory=dict, description="Ray's runtime_env for the workers: pip, working_dir, env_vars and so on."
    )
    forward: tuple[str, ...] = Field(
        (), description="Environment variables of this process that the workers get, such as the one that holds an API key."
    )

    @field_validator("workers", mode="before")
    @classmethod
    def _number_or_range(cls, value: object) -> str:
        text = str(value)
        if not re.fullmatch(r"\d+(\.\.\d+)?", text):
            raise ValueError("expected a number such as 4, or a range such as 2..8")
        least, most = _bounds(text)
        if not 1 <= least <= most:
            raise ValueError("expected at least one worker, and MIN not above MAX")
        return text

    @field_validator("num_cpus", "num_gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("Ray takes fractions only below 1")
        return value

    @property
    def least(self) -> int:
        """Workers without which the run does not go on."""
        return _bounds(self.workers)[0]

    @property
    def most(self) -> int:
        """Workers where the cluster has room for them."""
        return _bounds(self.workers)[1]


def _bounds(text: str) -> tuple[int, int]:
    least, _, most = text.partition("..")
    return int(least), int(most or least)
