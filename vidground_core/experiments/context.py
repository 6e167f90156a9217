"""What a step needs besides its settings: the registry, and where notes, progress and events go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from vidground_core.events import Event
from vidground_core.plugins import Registry
from vidground_core.runs.budget import Budget
from vidground_core.runs.standing import Standing


class ProgressDisplay(Protocol):
    """One piece of long work as a person sees it."""

    def update(self, standing: Standing) -> None:
        """Sets how far it is."""
        ...


def _unheard(event: Event) -> None:
    """Nobody but the plugins listens."""


@dataclass(frozen=True)
class Context:
    """Handed to every step. `progress(label)` opens a display for one piece of work, `heard` is told every event besides the plugins.

    `budget` is what the whole command may spend.
    """

    registry: Registry
    note: Callable[[str], None]
    progress: Callable[[str], AbstractContextManager[ProgressDisplay]]
    heard: Callable[[Event], None] = _unheard
    budget: Budget = field(default_factory=Budget)

    def emit(self, name: str, step: str, **facts: str | int | float) -> None:
        """Tells the plugins of a step or shard."""
        self.tell(Event(name, step, facts))

    def tell(self, event: Event) -> None:
        """Passes an event on to the plugins and to whoever listens."""
        self.registry.emit(event)
        self.heard(event)
