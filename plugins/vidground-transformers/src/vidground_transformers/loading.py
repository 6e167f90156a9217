"""Loads a checkpoint's model and processor, quietly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidground_core import EngineError
from vidground_transformers.checkpoint import commit, sees
from vidground_transformers.formats import resolve_format
from vidground_transformers.generating import Vocabulary
from vidground_transformers.gguf import as_folder, is_gguf

if TYPE_CHECKING:
    from vidground_transformers.engine import TransformersConfig

_PICTURE_WORDS = ("image", "video", "vision", "audio", "boi", "eoi")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model on its device, its processor (a text model's tokenizer), and the token ids that generation needs."""

    model: Any
    processor: Any
    vocabulary: Vocabulary
    pictures: bool


def load(checkpoint: str, config: TransformersConfig) -> Loaded:
    """Loads from a folder, a GGUF file or the hub. Raises EngineError with one line that names the checkpoint."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtype = resolve_format(checkpoint, config)
    where = {"revision": _revision(checkpoint, config.revision), "trust_remote_code": config.trust_remote_code}
    try:
        source = as_folder(checkpoint, dtype=dtype) if is_gguf(checkpoint) else checkpoint
        settings = transformers.AutoConfig.from_pretrained(source, **where)
        pictures = sees(settings.to_dict())
        processor = (transformers.AutoProcessor if pictures else transformers.AutoTokenizer).from_pretrained(source, **where)
        kind = transformers.AutoModelForImageTextToText if pictures else transformers.AutoModelForCausalLM
        model = kind.from_pretrained(source, dtype=getattr(torch, dtype), **_attention(config), **where)
        model = model.to(device).eval()
    except EngineError:
        raise
    except Exception as error:  # whatever the libraries raise for a bad name, folder, file or device
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise EngineError(_explain(checkpoint, first[:300].rstrip("."))) from error
    tokenizer = getattr(processor, "tokenizer", processor)
    vocabulary = _vocabulary(model, tokenizer)
    # A checkpoint's own sampling defaults (temperature, repetition penalty) would be mixed into every call.
    model.generation_config = transformers.GenerationConfig(pad_token_id=vocabulary.pad, eos_token_id=list(vocabulary.ends) or None)
    return Loaded(model, processor, vocabulary, pictures)


def all_gpus() -> tuple[str, ...]:
    """Every GPU that torch sees. Raises EngineError where there is none."""
    import torch

    found = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if not found:
        raise EngineError(
            "devices 'all' of the engine 'transformers' means every GPU, and torch sees none here; name devices, such as cpu,cpu"
        )
    return found


def _revision(checkpoint: str, wanted: str | None) -> str | None:
    """The commit to load; None for a folder or a GGUF file."""
    if Path(checkpoint).is_dir() or is_gguf(checkpoint):
        return None
    found = commit(checkpoint, wanted)
    if found is None:
        at = f" at revision {wanted!r}" if wanted else ""
        reason = f"there is no such folder, it is not in the local cache{at}, and the hub does not know it or cannot be reached"
        raise EngineError(_explain(checkpoint, reason))
    return found


def _attention(config: TransformersConfig) -> dict[str, str]:
    return {} if config.attention == "auto" else {"attn_implementation": config.attention}


def _vocabulary(model: Any, tokenizer: Any) -> Vocabulary:
    ends = {*_ids(model.generation_config.eos_token_id), *_ids(tokenizer.eos_token_id)}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
    size = model.config.get_text_config().vocab_size
    barred = {
        value
        for name, value in model.config.to_dict().items()
        if isinstance(value, int) and name.endswith(("_token_id", "_token_index")) and name.startswith(_PICTURE_WORDS) and 0 <= value < size
    }
    return Vocabulary(pad, tuple(sorted(ends)), tuple(sorted(barred - ends)))


def _ids(value: int | Iterable[int] | None) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)


def _explain(checkpoint: str, reason: str) -> str:
    return (
        f"the engine 'transformers' cannot load the model {checkpoint!r}: {reason}; "
        "--model takes a folder with config.json, weights and tokenizer, a .gguf file, a name on the hub, or nano"
    )
