"""From the flags of a verb to its settings and the context it runs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.cli.app import Session
from vidground_core.events import Event
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.context import Context
from vidground_core.experiments.settings import passed_settings, resolve_settings
from vidground_core.runs.budget import Budget


@dataclass(frozen=True)
class Prepared:
    """What a verb runs with: the settings as passed (kept in run.json), the components they name, and the context."""

    passed: Mapping[str, Any]
    assembly: Assembly
    context: Context


def prepare(
    session: Session,
    flags: Mapping[str, Any],
    sets: Sequence[str] | None = None,
    *,
    config: Path | None = None,
    base: Mapping[str, Any] | None = None,
) -> Prepared:
    """Merges `base`, the config file, `--set` and flags, and checks them. Raises ConfigError."""
    passed = passed_settings(config, flags, sets or (), base)
    assembly = Assembly(resolve_settings(passed, session.registry), session.registry)
    settings, output = assembly.settings, session.output
    budget = Budget(max_cost=settings.max_cost, max_tokens=settings.max_tokens)
    context = Context(session.registry, output.note, output.progress, lambda event: output.event(as_line(event)), budget)
    return Prepared(passed, assembly, context)


def as_line(event: Event) -> dict[str, Any]:
    """An event as the object that `--json` prints on standard error."""
    return {"event": event.name, "step": event.step, **event.facts}
