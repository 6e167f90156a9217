"""What can be known of a checkpoint in transformers' layout without loading it: its kind, its contents, its revision.

Imports no model library; hub names need the package huggingface_hub, which every back-end that loads them brings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Weights up to this size are read whole; of larger files 4 KiB in each MiB, so that no changed tensor of that size is missed.
_WHOLE = 64 * 2**20
_STRIDE, _BLOCK = 2**20, 4096
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".h5", ".msgpack", ".onnx")
# What `from_pretrained` reads besides weights; training states and notes beside them do not matter.
_TEXTS = (".json", ".jinja", ".model", ".txt", ".tiktoken")
_OTHERS = frozenset({"trainer_state.json", "training_args.json", "README.txt"})


def read_config(model: str, revision: str | None) -> dict[str, Any] | None:
    """The checkpoint's config.json from its folder or the local hub cache; None where it is in neither."""
    path = Path(model) / "config.json" if Path(model).is_dir() else _cached(model, revision)
    if path is None or not path.is_file():
        return None
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return loaded if isinstance(loaded, dict) else None


def sees(config: dict[str, Any]) -> bool:
    """Whether a checkpoint with this config.json takes pictures."""
    return "vision_config" in config


def contents(model: str, revision: str | None) -> str:
    """A text that changes when the checkpoint does, and not when its folder moves.

    For a folder: a sha256 over its configuration, tokenizer and template files, and over each weight file's size and 4 KiB of each MiB of
    it (all of it up to 64 MiB). For a hub name: the name and the commit, from the local cache or else from the hub.
    """
    folder = Path(model)
    if folder.is_dir():
        return f"sha256:{_digest(folder)}"
    return f"{model}@{commit(model, revision) or revision or 'main'}"


def commit(model: str, revision: str | None) -> str | None:
    """The commit that a hub name stands for: the cached one, else the hub's; None where neither answers."""
    cached = _cached(model, revision)
    if cached is not None:
        return cached.parent.name
    try:
        from huggingface_hub import HfApi

        sha = HfApi().model_info(model, revision=revision, timeout=10).sha
    except Exception:  # offline, unknown, gated or no huggingface_hub: loading it says which
        return None
    return str(sha) if sha else None


def _cached(model: str, revision: str | None) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(model, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        if path.suffix in _WEIGHTS:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            for block in _blocks(path):
                digest.update(block)
        elif path.suffix in _TEXTS and path.name not in _OTHERS:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE:
            yield file.read()
            return
        for start in (*range(0, size, _STRIDE), size - _BLOCK):
            file.seek(start)
            yield file.read(_BLOCK)
