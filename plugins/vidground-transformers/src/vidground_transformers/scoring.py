"""Log-probabilities of continuations: each prompt runs once, its cache serves all its continuations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidground_core import Reply
from vidground_transformers.encoding import Encoded, collate

if TYPE_CHECKING:
    import torch


def score(model: Any, batch: Sequence[Encoded], *, pad: int) -> list[Reply]:
    """For each ask, log P(continuation | prompt), summed over the continuation's tokens, in nats, and the numbers of tokens.

    The end token is not part of a continuation. Prompts are padded on the left and continuations on the right, both masked, and positions
    are given, so a row's numbers do not depend on the others.
    """
    import torch

    with torch.inference_mode():
        inputs = collate(batch, pad=pad, device=model.device)
        logits, cache, shift = _run_prompts(model, inputs)
        first = logits.float().log_softmax(-1)
        # For each continuation, the row of its prompt and its place among the prompt's.
        places = [(row, place) for row, item in enumerate(batch) for place in range(len(item.tails))]
        sums = {(row, place): float(first[row, batch[row].tails[place][0]]) if batch[row].tails[place] else 0.0 for row, place in places}
        longer = [(row, place) for row, place in places if len(batch[row].tails[place]) > 1]
        if longer:
            rows = torch.tensor([row for row, _ in longer], device=model.device)
            cache.batch_select_indices(rows)
            tails = [batch[row].tails[place] for row, place in longer]
            rest = _run_tails(model, tails, cache=cache, mask=inputs["attention_mask"][rows], shift=None if shift is None else shift[rows])
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


def _run_prompts(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any, torch.Tensor | None]:
    """The logits after each prompt (rows, vocabulary), the cache, and how far positions run ahead of token counts (None: not at all)."""
    inner = getattr(model, "model", model)
    spatial = hasattr(inner, "rope_deltas")
    pictures = len(inputs.keys() - {"input_ids", "attention_mask"}) > 0
    if spatial:
        # Left over from the batch before, it would move this one's positions.
        inner.rope_deltas = None
    if not (spatial and pictures):
        inputs = {**inputs, "position_ids": (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)}
    out = model(**inputs, use_cache=True, logits_to_keep=1)
    return out.logits[:, -1], out.past_key_values, inner.rope_deltas if spatial and pictures else None


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
