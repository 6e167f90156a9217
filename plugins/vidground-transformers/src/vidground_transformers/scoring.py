"""Log-probabilities of continuations: each prompt runs once, its cache serves all its continuations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vidground_core import Reply
from vidground_transformers.encoding import Encoded, collate

if TYPE_CHECKING:
    import torch

# A beginning shorter than this is not worth a forward pass of its own.
_LEAST_SHARED = 8
# Rows of the output matrix that are widened to float32 at a time.
_ROWS = 16_384


def score(model: Any, batch: Sequence[Encoded], *, pad: int) -> list[Reply]:
    """For each ask, log P(continuation | prompt), summed over the continuation's tokens, in nats, and the numbers of tokens.

    The end token is not part of a continuation. Prompts are padded on the left and continuations on the right, both masked, and positions
    are given, so a row's numbers do not depend on the others. Tokens that all prompts begin with run once. Logits are float32 whatever
    the model's number format: those of bfloat16 stand an eighth apart, and options would tie.
    """
    import torch

    with torch.inference_mode(), _float32_logits(model):
        logits, cache, mask, shift = _run_shared(model, batch, pad=pad) or _run_prompts(model, collate(batch, pad=pad, device=model.device))
        first = logits.float().log_softmax(-1)
        # For each continuation, the row of its prompt and its place among the prompt's.
        places = [(row, place) for row, item in enumerate(batch) for place in range(len(item.tails))]
        sums = {(row, place): float(first[row, batch[row].tails[place][0]]) if batch[row].tails[place] else 0.0 for row, place in places}
        longer = [(row, place) for row, place in places if len(batch[row].tails[place]) > 1]
        if longer:
            rows = torch.tensor([row for row, _ in longer], device=model.device)
            cache.batch_select_indices(rows)
            tails = [batch[row].tails[place] for row, place in longer]
            rest = _run_tails(model, tails, cache=cache, mask=mask[rows], shift=None if shift is None else shift[rows])
            for key, value in zip(longer, rest.tolist(), strict=True):
                sums[key] += value
    return [
        Reply(
            "answered",
            logprobs=tuple(sums[row, place] for place in range(len(item.tails))),
            tokens=tuple(len(tail) for tail in item.tails),
        )
        for row, item in enumerate(batch)
    ]


def _run_shared(model: Any, batch: Sequence[Encoded], *, pad: int) -> tuple[torch.Tensor, Any, torch.Tensor, None] | None:
    """As `_run_prompts`, with the tokens that all prompts begin with run once; None where that does not serve or is not possible."""
    import torch

    shared = _beginning([item.ids for item in batch])
    worthwhile = len(batch) > 1 and shared >= _LEAST_SHARED and not any(item.tensors or item.aligned for item in batch)
    cache = _plain_cache(model) if worthwhile else None
    if cache is None:
        return None
    inner = getattr(model, "model", model)
    if hasattr(inner, "rope_deltas"):
        inner.rope_deltas = None
    head = torch.tensor([batch[0].ids[:shared]], device=model.device)
    model(input_ids=head, position_ids=torch.arange(shared, device=model.device)[None], past_key_values=cache, logits_to_keep=1)
    if cache.get_seq_length() != shared:
        return None
    cache.batch_repeat_interleave(len(batch))
    rest = collate([replace(item, ids=item.ids[shared:]) for item in batch], pad=pad, device=model.device)
    positions = shared + (rest["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    mask = torch.cat([torch.ones_like(rest["attention_mask"][:, :1]).expand(-1, shared), rest["attention_mask"]], -1)
    given = {"input_ids": rest["input_ids"], "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
    return model(**given, use_cache=True, logits_to_keep=1).logits[:, -1], cache, mask, None


def _beginning(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with, leaving each at least one of its own."""
    low, high = min(prompts), max(prompts)
    alike = next((place for place, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    return min(alike, min(map(len, prompts)) - 1)


def _plain_cache(model: Any) -> Any:
    """An empty cache where padding after a shared beginning is harmless: rotary positions, every layer sees all keys. Else None."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    settings = model.config.get_text_config()
    if not getattr(settings, "rope_parameters", None):
        return None
    cache = DynamicCache(config=settings)
    return cache if cache.layers and all(type(layer) is DynamicLayer for layer in cache.layers) else None


@contextmanager
def _float32_logits(model: Any) -> Iterator[None]:
    """Applies the output matrix in float32, a block of its rows at a time."""
    import torch
    from torch.nn.functional import linear

    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or head.weight.dtype not in (torch.bfloat16, torch.float16):
        yield
        return

    def widened(module: torch.nn.Linear, given: tuple[torch.Tensor], _: torch.Tensor) -> torch.Tensor:
        hidden = given[0].float()
        made = torch.cat([linear(hidden, rows.float()) for rows in torch.split(module.weight, _ROWS)], -1)
        return made if module.bias is None else made + module.bias.float()

    handle = head.register_forward_hook(widened)
    try:
        yield
    finally:
        handle.remove()


def _run_prompts(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any, torch.Tensor, torch.Tensor | None]:
    """After each prompt: logits (rows, vocabulary), cache, mask, how far positions run ahead of token counts (None: not at all)."""
    inner = getattr(model, "model", model)
    spatial = hasattr(inner, "rope_deltas")
    pictures = len(inputs.keys() - {"input_ids", "attention_mask"}) > 0
    if spatial:
        # Left over from the batch before, it would move this one's positions.
        inner.rope_deltas = None
    if not (spatial and pictures):
        inputs = {**inputs, "position_ids": (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)}
    out = model(**inputs, use_cache=True, logits_to_keep=1)
    return out.logits[:, -1], out.past_key_values, inputs["attention_mask"], inner.rope_deltas if spatial and pictures else None


def _run_tails(model: Any, tails: Sequence[list[int]], *, cache: Any, mask: torch.Tensor, shift: torch.Tensor | None) -> torch.Tensor:
    """(rows,): the summed log-probabilities of each continuation's second and later tokens."""
    import torch

    width = max(len(tail) for tail in tails) - 1
    ids = torch.tensor([tail[:-1] + [0] * (width + 1 - len(tail)) for tail in tails], device=mask.device)
    targets = torch.tensor([tail[1:] + [0] * (width + 1 - len(tail)) for tail in tails], device=mask.device)
    real = torch.tensor([[1] * (len(tail) - 1) + [0] * (width + 1 - len(tail)) for tail in tails], device=mask.device)
    positions = mask.sum(-1, keepdim=True) + torch.arange(width, device=mask.device)
    if shift is not None:
        positions = (positions + shift).expand(3, -1, -1)
    logits = model(
        input_ids=ids,
        attention_mask=torch.cat([mask, real.to(mask.dtype)], -1),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).logits
    chosen = logits.float().log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    summed: torch.Tensor = (chosen * real).sum(-1)
    return summed
