"""Rollouts that run into the length limit (DAPO): left out of the loss (overlong filtering), or made to cost something before it.

Overlong filtering: a rollout without an end token has no term in the loss; its reward still stands in the group's mean. Computed by TRL.
Soft overlong penalty, for L = `max_completion_length` and the buffer c = `overlong_buffer`:

    R(y) = 0 for |y| ≤ L − c;   (L − c − |y|)/c for L − c < |y| ≤ L;   −1 beyond

Source: DAPO, 2503.14476, section 3.4, equation 13.
"""

from __future__ import annotations

from collections.abc import Sequence

from vidground_trl.methods.method import Method


def soft_overlong(lengths: Sequence[int], *, limit: int, buffer: int) -> list[float]:
    """The penalty in −1..0 of each length in tokens, end token included; `buffer` tokens before `limit` it begins to grow."""
    return [0.0 if length <= limit - buffer else max(-1.0, (limit - buffer - length) / buffer) for length in lengths]


FILTER = Method(
    name="overlong-filter",
    title="Overlong filtering",
    settings={"mask_truncated_completions": True},
    options=("mask_truncated_completions",),
    formula="a rollout cut off at L_max has no term in the loss",
    source="DAPO, arXiv 2503.14476, sec. 3.4",
    claim="rollouts that are cut off have no share of the gradient; those that end keep theirs",
)
PENALTY = Method(
    name="overlong-penalty",
    title="Soft overlong penalty",
    settings={"overlong_penalty": 1.0, "overlong_buffer": 4},
    options=("overlong_penalty", "overlong_buffer"),
    formula="R(y) = 0 up to L_max − c, then (L_max − c − \\|y\\|)/c, −1 at the limit",
    source="DAPO, arXiv 2503.14476, eq. 13",
    claim="rollouts become shorter (`completions/mean_length` falls)",
)
