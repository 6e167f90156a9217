"""What can be known of a checkpoint without loading it, GGUF files included. Imports no model library."""

from __future__ import annotations

from vidground_core.models import checkpoints
from vidground_core.models.checkpoints import commit, read_config, sees
from vidground_transformers.gguf import gguf_contents, is_gguf

__all__ = ["commit", "contents", "read_config", "sees"]


def contents(model: str, revision: str | None) -> str:
    """A text that changes when the checkpoint does, and not when its folder moves; for a GGUF file, its sha256."""
    return gguf_contents(model) if is_gguf(model) else checkpoints.contents(model, revision)
