"""Model names that resolve without a hub."""

from __future__ import annotations

import os
from pathlib import Path

# The environment variable that names the folder of everything VidGround makes once and keeps.
CACHE_VARIABLE = "VG_CACHE"

_SHIPPED = {"nano": Path(__file__).parent / "nano"}


def resolve_model(name: str) -> str:
    """The folder of a shipped checkpoint for its name ("nano"); any other name or path is returned unchanged."""
    return str(_SHIPPED[name]) if name in _SHIPPED else name


def cache_folder() -> Path:
    """Where what is made once is kept: the folder in $VG_CACHE, or else ~/.cache/vidground. It need not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "vidground").absolute()
