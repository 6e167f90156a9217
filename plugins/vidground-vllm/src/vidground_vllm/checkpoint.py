"""What a checkpoint says of itself without vLLM."""

from __future__ import annotations

from pathlib import Path


def has_template(checkpoint: str) -> bool:
    """Whether a checkpoint folder has a chat template; one on the hub is taken to have one."""
    folder = Path(checkpoint)
    if not folder.is_dir():
        return True
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and '"chat_template"' in settings.read_text(encoding="utf-8")
