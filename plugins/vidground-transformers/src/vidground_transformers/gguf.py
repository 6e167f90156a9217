"""GGUF checkpoints (llama.cpp's format): made into a plain folder once, kept in the cache. Imports no model library at the top."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vidground_core import EngineError
from vidground_core.media import digest_file
from vidground_core.models import cache_folder

logger = logging.getLogger(__name__)

# Part of the cache's key and of the engine's identity: to be raised when the same file would give other weights or tokens.
CONVERSION = "1"
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
# Two copies of a matrix in different quantisations differ by 1% to 30%, two matrices by 100% and more.
_SAME_MATRIX = 0.5


def is_gguf(model: str) -> bool:
    """Whether the model is a GGUF file, or a folder that holds such files and no config.json."""
    return bool(_files(model))


def gguf_file(model: str) -> Path:
    """The one file. Raises EngineError where a folder holds several, or the file is a part of a split one."""
    files = _files(model)
    if len(files) != 1:
        raise EngineError(
            f"{model!r} holds {len(files)} GGUF files: {', '.join(path.name for path in files)}; name one of them with --model"
        )
    if part := _PART.search(files[0].name):
        place, parts = int(part[1]), int(part[2])
        raise EngineError(
            f"{str(files[0])!r} is part {place} of {parts} of a split GGUF; join them first: llama-gguf-split --merge FIRST OUT"
        )
    return files[0]


def gguf_contents(model: str) -> str:
    """A text that changes when the weights do, and not when the file moves."""
    return f"gguf:{CONVERSION}:sha256:{digest_file(gguf_file(model))}"


def _files(model: str) -> list[Path]:
    path = Path(model)
    if path.is_dir():
        return [] if (path / "config.json").is_file() else sorted(each for each in path.iterdir() if _named_gguf(each))
    return [path] if _named_gguf(path) and path.is_file() else []


def _named_gguf(path: Path) -> bool:
    return path.suffix.lower() == ".gguf"


def as_folder(model: str, *, dtype: str) -> Path:
    """The checkpoint as a folder for `from_pretrained`: dequantised to `dtype` ("auto": bfloat16), with its tokenizer and chat template.

    Made at the first call, which takes some 20 seconds and 4 bytes of memory a weight, and kept under gguf/ in the cache folder by the
    file's sha256. The input embeddings become the output matrix where the file holds two quantisations of one matrix, of which the
    output's is the finer. Raises EngineError as `gguf_file` does, and whatever transformers raises for a file it cannot read.
    """
    file = gguf_file(model)
    dtype = "bfloat16" if dtype == "auto" else dtype
    folder = cache_folder() / "gguf" / f"{digest_file(file)}-{dtype}-{CONVERSION}"
    if folder.is_dir():
        return folder
    logger.info("%s: made into the folder %s, once", file, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as made:
        whole = Path(made) / "checkpoint"
        _convert(file, whole, dtype)
        try:
            whole.replace(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def _convert(file: Path, folder: Path, dtype: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=getattr(torch, dtype), **where)
    _tie(model)
    # save_pretrained refuses what still counts as quantised.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tie(model: Any) -> None:
    """Shares the output matrix with the input where both are one matrix, as in the small Qwen and Llama models."""
    import torch

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or head.weight.data_ptr() == embedding.weight.data_ptr() or head.weight.shape != embedding.weight.shape:
        return
    # Some thousand rows from the whole vocabulary tell as well as all.
    rows = slice(None, None, max(1, len(head.weight) // 4096))
    output, given = head.weight.detach()[rows].float(), embedding.weight.detach()[rows].float()
    if float((given - output).norm() / output.norm()) < _SAME_MATRIX:
        embedding.weight = torch.nn.Parameter(head.weight.detach())
        model.config.tie_word_embeddings = True
        model.tie_weights()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar that transformers always shows here."""
    from transformers import modeling_gguf_pytorch_utils as reading

    before = reading.tqdm
    reading.tqdm = lambda rows, **_: rows
    try:
        yield
    finally:
        reading.tqdm = before
