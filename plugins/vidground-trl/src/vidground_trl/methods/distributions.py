"""Whole next-token distributions of rollouts, for methods that weigh tokens by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def images_of(batch: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """The image arguments of those rows of a TRL batch: the rows of `pixel_values` and the grids that are theirs; empty without images."""
    grid, pixels, counts = batch.get("image_grid_thw"), batch.get("pixel_values"), batch.get("num_images")
    if grid is None or pixels is None or counts is None:
        return {}
    first, last = sum(counts[: rows.start]), sum(counts[: rows.stop])
    ends = [0, *grid.prod(-1).cumsum(0).tolist()]
    if first == last:
        return {}
    return {"pixel_values": pixels[ends[first] : ends[last]], "image_grid_thw": grid[first:last]}


def log_probs(model: Any, batch: Mapping[str, Any], rows: slice) -> torch.Tensor:
    """Log-probabilities (rows, completion tokens, vocabulary) with which `model` gave each completion token of those rows."""
    ids = torch.cat([batch["prompt_ids"][rows], batch["completion_ids"][rows]], dim=1)
    attention = torch.cat([batch["prompt_mask"][rows], batch["completion_mask"][rows]], dim=1)
    keep = batch["completion_ids"].shape[1]
    more = {name: batch[name][rows] for name in ("mm_token_type_ids", "token_type_ids") if name in batch}
    images = images_of(batch, rows)
    logits = model(input_ids=ids, attention_mask=attention, logits_to_keep=keep + 1, use_cache=False, **more, **images).logits
    # Some models return logits for all positions whatever is asked for.
    return torch.log_softmax(logits[:, -keep - 1 : -1].float(), dim=-1)
