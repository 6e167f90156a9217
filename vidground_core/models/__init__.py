"""Model names that resolve without a hub."""

from __future__ import annotations

from pathlib import Path

_SHIPPED = {"nano": Path(__file__).parent / "nano"}


def resolve_model(name: str) -> str:
    """The folder of a shipped checkpoint for its name ("nano"); any other name or path is returned unchanged."""
    return str(_SHIPPED[name]) if name in _SHIPPED else name
