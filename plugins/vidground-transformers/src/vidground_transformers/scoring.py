"""Log-probabilities of continuations: each prompt runs once, for all its continuations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vidground_core import Reply
from vidground_transformers.blocks import block_mask, inner_tokens, lay_out, reach, takes_blocks
from vidground_transformers.encoding import Encoded
from vidground_transformers.generating import Vocabulary
from vidground_transformers.heads import reading
from vidground_transformers.prompts import Beginning, Ran, forget_positions, run_prompts

if TYPE_CHECKING:
    import torch

# Most numbers in a mask of whole prompts; longer prompts run by themselves first, with the model's own causal mask.
_MOST_MASK = 2**26


@dataclass(slots=True)
class Scorer:
    """Scores batches by one model. The end token is no part of a continuation, and logits are float32 whatever the model's format.

    Prompt and continuations go through the model as one row, each continuation seeing the prompt and itself; what the prompts begin with
    stays cached between batches. Prompts with pictures, and long ones, run first, their continuations as a row over the cache. A model
    that does not take such rows (`takes_blocks`) gets a row for each continuation. A row's numbers do not depend on the others.
    """

    model: Any
    vocabulary: Vocabulary
    blocks: bool = field(init=False)
    _reach: float = field(init=False)
    _beginning: Beginning = field(init=False)

    def __post_init__(self) -> None:
        self._reach = reach(self.model)
        self.blocks = self._reach > 0 and takes_blocks(self.model, self.vocabulary)
        self._beginning = Beginning(self.model)

    def score(self, batch: Sequence[Encoded]) -> list[Reply]:
        """For each ask, log P(continuation | prompt), summed over the continuation's tokens, in nats, and the numbers of tokens.

        Equal continuations of an ask run once, so that they tie exactly.
        """
        import torch

        single = [replace(item, tails=tuple(list(tail) for tail in _different(item))) for item in batch]
        with torch.inference_mode():
            sums = self._as_rows(single) if self._in_one_row(single) else self._after_prompts(single)
        places = [{tail: place for place, tail in enumerate(_different(item))} for item in batch]
        return [
            Reply(
                "answered",
                logprobs=tuple(sums.get((row, places[row][tuple(tail)]), 0.0) for tail in item.tails),
                tokens=tuple(len(tail) for tail in item.tails),
                usage=(len(item.ids) + sum(map(len, item.tails)), 0),
            )
            for row, item in enumerate(batch)
        ]

    def _in_one_row(self, batch: Sequence[Encoded]) -> bool:
        if not self.blocks or any(item.tensors or item.aligned for item in batch):
            return False
        width = max(len(item.ids) + inner_tokens(item) for item in batch)
        # Within the shortest window a sliding layer sees what the others see.
        furthest = max(len(item.ids) + max(map(len, item.tails), default=0) for item in batch)
        return furthest <= self._reach and len(batch) * width * width <= _MOST_MASK

    def _as_rows(self, batch: Sequence[Encoded]) -> dict[tuple[int, int], float]:
        import torch

        start = self._beginning.serve(batch)
        block = lay_out(batch, [start] * len(batch), device=self.model.device)
        past = torch.ones(len(batch), start, device=self.model.device)
        given: dict[str, Any] = (
            {"past_key_values": self._beginning.cache(len(batch), start), "use_cache": True} if start else {"use_cache": False}
        )
        forget_positions(self.model)
        with reading(self.model, block.reads):
            logits = self.model(
                input_ids=block.ids,
                position_ids=block.positions,
                attention_mask=block_mask(block.owner, past, dtype=self.model.dtype),
                **given,
            ).logits[0]
        return _sums(logits, block.picks)

    def _after_prompts(self, batch: Sequence[Encoded]) -> dict[tuple[int, int], float]:
        from transformers.cache_utils import DynamicLayer

        ran = run_prompts(self.model, batch, pad=self.vocabulary.pad)
        tails = [(row, place, tail) for row, item in enumerate(batch) for place, tail in enumerate(item.tails) if tail]
        sums = _sums(ran.logits, [(row, place, row, tail[0]) for row, place, tail in tails])
        longer = [(row, place, tail) for row, place, tail in tails if len(tail) > 1]
        if not longer:
            return sums
        plain = all(type(layer) is DynamicLayer for layer in ran.cache.layers)
        rest = self._tails_in_rows(batch, ran) if self.blocks and plain else _tails_apart(self.model, longer, ran)
        return {key: value + rest.get(key, 0.0) for key, value in sums.items()}

    def _tails_in_rows(self, batch: Sequence[Encoded], ran: Ran) -> dict[tuple[int, int], float]:
        block = lay_out(batch, [len(item.ids) for item in batch], device=self.model.device)
        positions = block.positions if ran.shift is None else (block.positions + ran.shift).expand(3, -1, -1)
        with reading(self.model, block.reads):
            logits = self.model(
                input_ids=block.ids,
                position_ids=positions,
                attention_mask=block_mask(block.owner, ran.mask, dtype=self.model.dtype),
                past_key_values=ran.cache,
                use_cache=True,
            ).logits[0]
        return _sums(logits, block.picks)


def _different(item: Encoded) -> list[tuple[int, ...]]:
    return list(dict.fromkeys(tuple(tail) for tail in item.tails))


def _sums(logits: torch.Tensor, picks: Sequence[tuple[int, int, int, int]]) -> dict[tuple[int, int], float]:
    """Log-probabilities of `picks` (row, continuation, index into `logits`, token), summed by continuation."""
    import torch

    if not picks:
        return {}
    logits = logits.float()
    _, _, reads, tokens = (torch.tensor(column, device=logits.device) for column in zip(*picks, strict=True))
    values = (logits[reads, tokens] - logits.logsumexp(-1)[reads]).tolist()
    sums: dict[tuple[int, int], float] = {}
    for (row, place, _, _), value in zip(picks, values, strict=True):
        sums[row, place] = sums.get((row, place), 0.0) + value
    return sums


def _tails_apart(model: Any, longer: Sequence[tuple[int, int, list[int]]], ran: Ran) -> Mapping[tuple[int, int], float]:
    """The second and later tokens of each continuation, a row of its own for each, over a copy of its prompt's cache."""
    import torch

    rows = torch.tensor([row for row, _, _ in longer], device=model.device)
    ran.cache.batch_select_indices(rows)
    mask = ran.mask[rows]
    width = max(len(tail) for _, _, tail in longer) - 1
    ids = torch.tensor([tail[:-1] + [0] * (width + 1 - len(tail)) for _, _, tail in longer], device=mask.device)
    real = torch.tensor([[1] * (len(tail) - 1) + [0] * (width + 1 - len(tail)) for _, _, tail in longer], device=mask.device)
    positions = mask.sum(-1, keepdim=True) + torch.arange(width, device=mask.device)
    if ran.shift is not None:
        positions = (positions + ran.shift[rows]).expand(3, -1, -1)
    with reading(model, real.flatten().nonzero()[:, 0]):
        logits = model(
            input_ids=ids,
            attention_mask=torch.cat([mask, real.to(mask.dtype)], -1),
            position_ids=positions,
            past_key_values=ran.cache,
            use_cache=True,
        ).logits[0]
    targets = [(row, place, token) for row, place, tail in longer for token in tail[1:]]
    return _sums(logits, [(row, place, read, token) for read, (row, place, token) in enumerate(targets)])
