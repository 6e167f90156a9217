"""A text encoder, and what a linear model sees of a question and an option by their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidground_core import EngineError

_BATCH = 64
# Columns that vary less are rounding.
_FLAT = 1e-6

Vector = NDArray[np.float32]


class Encoder:
    """A text encoder from a folder or the hub: the mean of the last hidden states over the tokens, of length 1.

    The pooling of the sentence-transformers models (Reimers & Gurevych, arXiv 1908.10084). Raises EngineError where it cannot be loaded.
    """

    def __init__(self, checkpoint: str, *, max_tokens: int = 256, device: str = "auto") -> None:
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._device = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self._most = max_tokens
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
            self._model = transformers.AutoModel.from_pretrained(checkpoint).float().to(self._device).eval()
        except Exception as error:  # whatever the libraries raise for a bad name, folder, file or device
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise EngineError(
                f"question-only-embeddings: cannot load the embedder {checkpoint!r}: {first[:300].rstrip('.')}; "
                "embedder takes a folder with config.json, weights and tokenizer, or a name on the hub"
            ) from error

    def embed(self, texts: Sequence[str]) -> Vector:
        """One unit vector a text, in order. Texts of like length share a batch, so that little is padded."""
        import torch

        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        found: Vector = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                found[batch] = self._embed([texts[index] for index in batch]).cpu().numpy()
        return found

    def _embed(self, texts: list[str]) -> Any:
        import torch

        given = self._tokenizer(texts, padding=True, truncation=True, max_length=self._most, return_tensors="pt").to(self._device)
        hidden = self._model(**given).last_hidden_state
        mask = given["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return torch.nn.functional.normalize(mean, dim=-1)


def pair_vectors(rows: Sequence[tuple[str, tuple[str, ...]]], vectors: Mapping[str, Vector]) -> Vector:
    """[pairs, 3 × width]: q·o, |q − o|, o − mean of the question's options, each column with mean 0 and deviation 1 over all pairs."""
    width = len(next(iter(vectors.values()), ()))
    pairs: Vector = np.empty((sum(len(options) for _, options in rows), 3 * width), dtype=np.float32)
    first = 0
    for asked, options in rows:
        question, said = vectors[asked], np.stack([vectors[option] for option in options])
        block = pairs[first : first + len(options)]
        block[:, :width] = question * said
        block[:, width : 2 * width] = np.abs(question - said)
        block[:, 2 * width :] = said - said.mean(axis=0)
        first += len(options)
    if len(pairs):
        pairs -= pairs.mean(axis=0)
        spread = pairs.std(axis=0)
        pairs /= np.where(spread > _FLAT, spread, 1)
    return pairs
