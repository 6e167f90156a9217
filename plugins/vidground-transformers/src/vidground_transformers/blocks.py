"""Rows in which all continuations of a prompt stand side by side: each sees the prompt and itself, by an attention mask of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidground_transformers.encoding import Encoded
from vidground_transformers.generating import Vocabulary
from vidground_transformers.heads import reading

if TYPE_CHECKING:
    import torch

# How far two passes over the same tokens may differ, as a share of the logits' spread; a continuation that saw another differs by more.
_SAME = {"float32": 1e-3}
_SAME_HALF = 0.05


@dataclass(frozen=True, slots=True)
class Block:
    """A batch of rows: each what is left of a prompt, its continuations without their last tokens, padding.

    `ids`, `positions` and `owner` are (rows, width); `owner` is 0 for the prompt, the continuation's number from 1, -1 for padding.
    `reads` are the flat places whose logits are needed, `picks` (row, continuation, index into `reads`, token).
    """

    ids: torch.Tensor
    positions: torch.Tensor
    owner: torch.Tensor
    reads: torch.Tensor
    picks: tuple[tuple[int, int, int, int], ...]


def lay_out(batch: Sequence[Encoded], starts: Sequence[int], *, device: Any) -> Block:
    """The rows, with the first `starts[row]` tokens of each prompt left out: those are in a cache.

    Where the whole prompt is in the cache, its last place is not read here, and the first tokens of the continuations are not in `picks`.
    """
    import torch

    width = max(len(item.ids) - start + inner_tokens(item) for item, start in zip(batch, starts, strict=True))
    ids, positions, owners = [], [], []
    reads: list[int] = []
    picks: list[tuple[int, int, int, int]] = []
    for row, (item, start) in enumerate(zip(batch, starts, strict=True)):
        own = item.ids[start:]
        tokens, places, owner = list(own), list(range(start, len(item.ids))), [0] * len(own)
        if own:
            last = len(reads)
            reads.append(row * width + len(own) - 1)
        for number, tail in enumerate(item.tails):
            if own and tail:
                picks.append((row, number, last, tail[0]))
            for place, token in enumerate(tail[1:]):
                picks.append((row, number, len(reads), token))
                reads.append(row * width + len(tokens) + place)
            tokens += tail[:-1] if len(tail) > 1 else []
            places += range(len(item.ids), len(item.ids) + len(tail) - 1)
            owner += [number + 1] * (len(tail) - 1)
        gap = width - len(tokens)
        ids.append(tokens + [0] * gap)
        positions.append(places + [0] * gap)
        owners.append(owner + [-1] * gap)
    made = [torch.tensor(rows, device=device) for rows in (ids, positions, owners, reads)]
    return Block(made[0], made[1], made[2], made[3], tuple(picks))


def inner_tokens(item: Encoded) -> int:
    """How many tokens of the continuations a row holds: the last of each is only read, never run."""
    return sum(max(0, len(tail) - 1) for tail in item.tails)


def block_mask(owner: torch.Tensor, past: torch.Tensor, *, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the attention scores, (rows, 1, width, cached + width): 0 for what a token sees, else the format's least number.

    `past` is (rows, cached), 1 where the cache holds a token. Padding sees the cache and itself, as no row of a softmax may be empty.
    """
    import torch

    rows, width = owner.shape
    seen = (owner[:, :, None] == owner[:, None, :]) | (owner[:, None, :] == 0)
    seen = (seen & torch.ones(width, width, dtype=torch.bool, device=owner.device).tril()) | torch.eye(
        width, dtype=torch.bool, device=owner.device
    )
    seen = torch.cat([past.bool()[:, None, :].expand(-1, width, -1), seen], -1)
    mask = torch.zeros(rows, 1, width, past.shape[1] + width, dtype=dtype, device=owner.device)
    return mask.masked_fill_(~seen[:, None], torch.finfo(dtype).min)


def reach(model: Any) -> float:
    """How many tokens back every layer of the model sees, infinity without a window; 0 where rows of continuations do not serve.

    They serve rotary models whose layers all attend, by an implementation that takes a mask of the caller's.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    settings = model.config.get_text_config()
    if not getattr(settings, "rope_parameters", None) or settings._attn_implementation not in ("sdpa", "eager"):
        return 0.0
    found = float("inf")
    for layer in DynamicCache(config=settings).layers:
        if type(layer) is DynamicSlidingWindowLayer:
            found = min(found, layer.sliding_window)
        elif type(layer) is not DynamicLayer:
            return 0.0
    return found


def takes_blocks(model: Any, vocabulary: Vocabulary) -> bool:
    """Whether the model honours mask and positions: a continuation scores the same beside any other, and as in a plain pass.

    Asked of the model itself, by four short passes, as no list of architectures stays true.
    """
    import torch

    size = model.config.get_text_config().vocab_size
    special = {vocabulary.pad, *vocabulary.ends, *vocabulary.barred}
    kept = [token for token in range(size) if token not in special]
    if len(kept) < 2:
        return False
    first, tail, other, another = ([kept[(start + step * 7) % len(kept)] for step in range(4)] for start in (3, 29, 53, 71))
    try:
        with torch.inference_mode():
            alone = _last_logits(model, [*first, *tail])
            beside = [_beside(model, first, tail, neighbour) for neighbour in (other, another)]
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception:  # whatever a model raises for a mask or a cache that it does not know
        return False
    spread = float((alone - alone.mean()).norm())
    same = _SAME.get(str(model.dtype).removeprefix("torch."), _SAME_HALF) * spread
    return bool(spread) and float((beside[0] - beside[1]).norm()) <= same and float((beside[0] - alone).norm()) <= same


def _last_logits(model: Any, ids: list[int]) -> torch.Tensor:
    import torch

    with reading(model):
        logits: torch.Tensor = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1]
    return logits


def _beside(model: Any, first: list[int], tail: list[int], neighbour: list[int]) -> torch.Tensor:
    """The logits after `tail`, which stands behind another continuation and over a cached beginning."""
    import torch
    from transformers import DynamicCache

    cache, start = DynamicCache(), 2
    model(input_ids=torch.tensor([first[:start]], device=model.device), past_key_values=cache, use_cache=True)
    item = Encoded(None, first, tails=([*neighbour, 0], [*tail, 0]))  # type: ignore[arg-type]
    block = lay_out([item], [start], device=model.device)
    mask = block_mask(block.owner, torch.ones(1, start, device=model.device), dtype=model.dtype)
    with reading(model, block.reads[-1:]):
        logits: torch.Tensor = model(
            input_ids=block.ids, position_ids=block.positions, attention_mask=mask, past_key_values=cache, use_cache=True
        ).logits[0, -1]
    return logits
