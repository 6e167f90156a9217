"""Rotary positions once for each distinct row: rollouts of a group have the same prompt, and completions of few lengths.

transformers works positions out row by row, in Python and in small tensors. They hang on where text, images and videos stand in a row and
on the clips' grids and times, not on its words, so rows that are alike in that share them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch

__all__ = ["shared"]

_IMAGE, _VIDEO = 1, 2


def shared(original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, the bound `get_rope_index` of Qwen2-VL, Qwen2.5-VL or Qwen3-VL, run on the distinct rows of a batch.

    Takes and returns what it does: position ids, shape (3, rows, width), and deltas, shape (rows, 1).
    """

    @functools.wraps(original)
    def of_distinct(input_ids: torch.Tensor, mm_token_type_ids: torch.Tensor, **kwargs: Any) -> Any:
        mask = kwargs.get("attention_mask")
        kinds = ("image_grid_thw", _IMAGE), ("video_grid_thw", _VIDEO)
        layouts = _layouts(mm_token_type_ids, mask)
        clips: dict[str, list[slice]] = {}
        for name, kind in kinds:
            found = _clips(kwargs.get(name), layouts, kind)
            if found is None:
                return original(input_ids, mm_token_type_ids=mm_token_type_ids, **kwargs)
            clips[name] = found
        given = {name: kwargs[name].tolist() for name, _ in kinds if kwargs.get(name) is not None}
        seconds = kwargs.get("second_per_grid_ts")
        times = None if seconds is None else torch.as_tensor(seconds).tolist()
        firsts: dict[Any, int] = {}  # the first row of each kind of row
        places = []
        for row, layout in enumerate(layouts):
            shown = tuple(tuple(map(tuple, given[name][clips[name][row]])) for name in given)
            when = None if times is None else tuple(times[clips["video_grid_thw"][row]])
            places.append(firsts.setdefault((layout, shown, when), row))
        rows = list(firsts.values())
        if len(rows) == len(layouts):
            return original(input_ids, mm_token_type_ids=mm_token_type_ids, **kwargs)
        for name in given:
            kwargs[name] = torch.cat([kwargs[name][clips[name][row]] for row in rows])
        if times is not None:
            chosen = [second for row in rows for second in times[clips["video_grid_thw"][row]]]
            kwargs["second_per_grid_ts"] = torch.as_tensor(seconds).new_tensor(chosen)
        if mask is not None:
            kwargs["attention_mask"] = mask[rows]
        positions, deltas = original(input_ids[rows], mm_token_type_ids=mm_token_type_ids[rows], **kwargs)
        back = {row: place for place, row in enumerate(rows)}
        order = [back[place] for place in places]
        return positions[:, order], deltas[order]

    return of_distinct


def _layouts(types: torch.Tensor, mask: torch.Tensor | None) -> list[tuple[int, ...]]:
    """The type of each place of each row, -1 where it is padding."""
    seen = types if mask is None else types.masked_fill(mask == 0, -1)
    return [tuple(row) for row in seen.tolist()]


def _clips(grid: torch.Tensor | None, layouts: Sequence[tuple[int, ...]], kind: int) -> list[slice] | None:
    """Which rows of `grid` are each row's; None where they cannot be told apart."""
    counts = {layout: _runs(layout, kind) for layout in set(layouts)}
    runs = [counts[layout] for layout in layouts]
    # A video is one run of tokens, or, with times between its frames (Qwen3-VL), one for each frame.
    lengths = [] if grid is None else [1] * len(grid)
    if sum(runs) != len(lengths) and grid is not None and kind == _VIDEO:
        lengths = grid[:, 0].tolist()
    if sum(runs) != sum(lengths):
        return None
    slices, place = [], 0
    for wanted in runs:
        start, found = place, 0
        while found < wanted:
            found += lengths[place]
            place += 1
        if found != wanted:
            return None
        slices.append(slice(start, place))
    return slices


def _runs(layout: Sequence[int], kind: int) -> int:
    return sum(value == kind for value, _ in groupby(value for value in layout if value >= 0))
