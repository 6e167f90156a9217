"""Prompts run before their continuations: what all begin with runs once, what pictures need the model works out itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vidground_transformers.encoding import Encoded, collate
from vidground_transformers.heads import reading

if TYPE_CHECKING:
    import torch

# A beginning shorter than this is not worth a forward pass of its own.
_LEAST_SHARED = 8


@dataclass(frozen=True, slots=True)
class Ran:
    """Prompts that ran: logits after each (rows, vocabulary), their cache and its mask, how far positions run ahead of token counts.

    `shift` is None where they do not: only models with positions in space have one, and only with pictures.
    """

    logits: torch.Tensor
    cache: Any
    mask: torch.Tensor
    shift: torch.Tensor | None


def run_prompts(model: Any, batch: Sequence[Encoded], *, pad: int) -> Ran:
    """Runs the prompts, padded on the left."""
    inputs = collate(batch, pad=pad, device=model.device)
    inner = getattr(model, "model", model)
    spatial = hasattr(inner, "rope_deltas")
    pictures = len(inputs.keys() - {"input_ids", "attention_mask"}) > 0
    forget_positions(model)
    if not (spatial and pictures):
        inputs = {**inputs, "position_ids": (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)}
    with reading(model):
        out = model(**inputs, use_cache=True, logits_to_keep=1)
    return Ran(out.logits[:, -1], out.past_key_values, inputs["attention_mask"], inner.rope_deltas if spatial and pictures else None)


def forget_positions(model: Any) -> None:
    """Clears what a model with positions in space keeps of the batch before; it would move the next one's."""
    inner = getattr(model, "model", model)
    if hasattr(inner, "rope_deltas"):
        inner.rope_deltas = None


def beginning(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with, leaving each at least one of its own."""
    return min(alike(min(prompts), max(prompts)), min(map(len, prompts)) - 1)


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts begin with together."""
    return next((place for place, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other)))


@dataclass(slots=True)
class Beginning:
    """What prompts begin with, kept as keys and values from batch to batch: a chat template's first lines run once a run."""

    model: Any
    ids: list[int] = field(default_factory=list)
    layers: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def serve(self, batch: Sequence[Encoded]) -> int:
        """How many tokens of these prompts `cache` will hold; runs a longer beginning where that saves more than it costs."""
        shared = beginning([item.ids for item in batch])
        head = batch[0].ids[:shared]
        known = alike(self.ids, head)
        gained = shared - known
        if gained >= _LEAST_SHARED and gained * (len(batch) - 1) > shared:
            self._run(head)
            known = shared
        return known if known >= _LEAST_SHARED else 0

    def _run(self, head: list[int]) -> None:
        import torch
        from transformers import DynamicCache

        cache = DynamicCache()
        ids = torch.tensor([head], device=self.model.device)
        positions = torch.arange(len(head), device=self.model.device)[None]
        forget_positions(self.model)
        self.model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self.ids, self.layers = head, [(layer.keys, layer.values) for layer in cache.layers]

    def cache(self, rows: int, length: int) -> Any:
        """A cache of its own for so many rows, filled with the first `length` tokens; the tensors themselves are shared, not copied."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        cache = DynamicCache()
        for keys, values in self.layers:
            layer = DynamicLayer()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = (each[:, :, :length].expand(rows, -1, -1, -1) for each in (keys, values))
            cache.layers.append(layer)
        return cache
