"""Registers the executor; imports no Ray."""

from __future__ import annotations

from vidground_core import hookimpl
from vidground_ray.executor import RayExecutor

VIDGROUND_API = ">=1,<2"


@hookimpl
def vidground_register_executors() -> list[type[RayExecutor]]:
    """The executor `ray`."""
    return [RayExecutor]
