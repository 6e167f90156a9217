"""Prompts read once for each group: what `generate` puts into its cache is the same for all rollouts of a prompt.

The rows of a group are neighbours and equal until the first token is sampled. So the language model reads the first of them, and its
cache and hidden states are handed out to the others. Nothing changes while gradients are wanted or the cache holds something already.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import torch
from transformers import DynamicCache

__all__ = ["shared"]

# Where rows stand in the tensors that a language model is given; others make it read every row.
_ROWS = {"inputs_embeds": 0, "attention_mask": 0, "position_ids": -2, "visual_pos_masks": 0}
_DEEP = "deepstack_visual_embeds"  # Qwen3-VL: for each layer the features of all vision tokens, row after row


def shared(original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, the bound forward of a language model that is given embeddings by name, run on the first of equal neighbouring rows."""

    @functools.wraps(original)
    def of_firsts(*args: Any, **kwargs: Any) -> Any:
        if args or torch.is_grad_enabled() or not _starts_generation(kwargs):
            return original(*args, **kwargs)
        order = _order(kwargs)
        rows = [row for row, place in enumerate(order) if row == 0 or place != order[row - 1]]
        if len(rows) == len(order):
            return original(**kwargs)
        output = original(**_chosen(kwargs, rows))
        back = torch.tensor(order, device=output.last_hidden_state.device)
        output.last_hidden_state = output.last_hidden_state[back]
        kwargs["past_key_values"].batch_select_indices(back)
        return output

    return of_firsts


def _starts_generation(kwargs: Mapping[str, Any]) -> bool:
    cache = kwargs.get("past_key_values")
    if not isinstance(cache, DynamicCache) or cache.get_seq_length() or kwargs.get("inputs_embeds") is None:
        return False
    given = {name: value for name, value in kwargs.items() if value is not None and name not in ("past_key_values", _DEEP)}
    known = all(name in _ROWS for name, value in given.items() if isinstance(value, torch.Tensor | dict | list | tuple))
    mask = given.get("attention_mask")
    return known and given.get("return_dict", True) and (mask is None or mask.ndim == 2)


def _order(kwargs: Mapping[str, Any]) -> list[int]:
    """For each row which run of equal neighbours it is in, from 0."""
    tensors = [kwargs[name].movedim(axis, 0) for name, axis in _ROWS.items() if kwargs.get(name) is not None]
    rows = len(kwargs["inputs_embeds"])
    # The small ones first, and embeddings a row at a time: a batch of videos compared at once would need as much memory again.
    tensors.sort(key=torch.Tensor.numel)
    begins = (not all(torch.equal(each[row], each[row - 1]) for each in tensors) for row in range(1, rows))
    return list(accumulate(begins, initial=0))


def _chosen(kwargs: Mapping[str, Any], rows: list[int]) -> dict[str, Any]:
    chosen = dict(kwargs)
    for name, axis in _ROWS.items():
        if kwargs.get(name) is not None:
            chosen[name] = kwargs[name].index_select(axis, torch.tensor(rows, device=kwargs[name].device))
    if kwargs.get(_DEEP) is not None:
        seen = kwargs["visual_pos_masks"]
        row_of_token = torch.arange(len(seen), device=seen.device)[:, None].expand_as(seen)[seen]
        wanted = torch.isin(row_of_token, torch.tensor(rows, device=seen.device))
        chosen[_DEEP] = [layer[wanted] for layer in kwargs[_DEEP]]
    return chosen
