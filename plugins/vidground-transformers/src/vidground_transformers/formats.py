"""Which number format a checkpoint runs in, told without loading it: it is part of what replies depend on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidground_transformers.checkpoint import read_config
from vidground_transformers.gguf import is_gguf

if TYPE_CHECKING:
    from vidground_transformers.engine import TransformersConfig

_CPU_FLAGS = Path("/proc/cpuinfo")
# What /proc/cpuinfo names where a CPU multiplies bfloat16 itself: x86 (two extensions) and ARM.
_FAST_BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
# One of these is there wherever torch can find a GPU under Linux: Nvidia's, under WSL, AMD's.
_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def resolve_format(checkpoint: str, config: TransformersConfig) -> str:
    """The number format of the weights: the one that is asked for, or for auto the checkpoint's where the device is fast with it.

    bfloat16 is fast on GPUs from compute capability 8 and on CPUs with instructions for it, float16 on GPUs; else it is float32. A
    checkpoint of float32 stays what it is. torch is imported only where a GPU may be there and the answer hangs on it.
    """
    if config.dtype != "auto":
        return config.dtype
    stored = stored_format(checkpoint, config.revision)
    if stored not in ("bfloat16", "float16"):
        return stored
    device = config.devices[0] if config.devices else config.device
    on_cpu = device.startswith("cpu") or (device == "auto" and not _gpu())
    if on_cpu:
        return "bfloat16" if stored == "bfloat16" and cpu_is_fast_with_bfloat16() else "float32"
    return "float32" if stored == "bfloat16" and not _gpu_is_fast_with_bfloat16(device) else stored


def stored_format(model: str, revision: str | None) -> str:
    """The number format that the checkpoint's config.json names; bfloat16 for a GGUF file, float32 where nothing is said."""
    if is_gguf(model):
        return "bfloat16"
    config = read_config(model, revision) or _fetched(model, revision) or {}
    text = config.get("text_config") or {}
    named = next((each[key] for each in (config, text) for key in ("dtype", "torch_dtype") if each.get(key)), "float32")
    return str(named).removeprefix("torch.")


def _fetched(model: str, revision: str | None) -> dict[str, Any] | None:
    """The config.json of a hub name that is not in the cache yet; None where the hub does not give it."""
    if Path(model).exists():
        return None
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(model, "config.json", revision=revision, etag_timeout=10)
    except Exception:  # offline, unknown or gated: loading it says which
        return None
    return read_config(model, revision)


def cpu_is_fast_with_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; False where the system does not say."""
    try:
        text = _CPU_FLAGS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in text.splitlines() if line.startswith(("flags", "Features"))), [])
    return not _FAST_BFLOAT16.isdisjoint(flags)


def _gpu() -> bool:
    if sys.platform == "linux" and not any(Path(each).exists() for each in _DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def _gpu_is_fast_with_bfloat16(device: str) -> bool:
    import torch

    if device not in ("auto", "all") and not device.startswith("cuda"):
        return True
    return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False))
