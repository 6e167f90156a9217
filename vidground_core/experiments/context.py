"""What a step needs besides its settings: the registry, and where notes, progress and events go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vidground_core.events import Event
from vidground_core.plugins import Registry


class ProgressDisplay(Protocol):
    """One piece of long work as a person sees it."""

    def update(self, done: int, total: int | None, extra: str = "") -> None:
        """Sets how much is done."""
        ...


@dataclass(frozen=True)
class Context:
    """Handed to every step. `progress(label)` opens a display for one piece of work."""

    registry: Registry
    note: Callable[[str], None]
    progress: Callable[[str], AbstractContextManager[ProgressDisplay]]

    def emit(self, name: str, step: str, **facts: str | int | float) -> None:
        """Tells the plugins of a step or shard."""
        self.registry.emit(Event(name, step, facts))
