"""What plugins are told while a run goes on: steps and shards, never rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is "step-started", "step-finished" or "shard-finished"; `step` the verb; `facts` are counts and paths as text or numbers."""

    name: str
    step: str
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
