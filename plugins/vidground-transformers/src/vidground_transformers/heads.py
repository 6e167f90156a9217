"""The output matrix, applied to the places that are read and nowhere else, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Rows of the output matrix that are widened to float32 at a time.
_ROWS = 16_384


@contextmanager
def reading(model: Any, places: torch.Tensor | None = None) -> Iterator[None]:
    """Within it, the model's logits are float32: those of bfloat16 stand an eighth apart, and options would tie.

    `places` are the positions to read, as indices into the hidden states of shape (rows * width, size); the logits then have the shape
    (1, places, vocabulary). What a model does with its logits afterwards (soft caps, scales) stays its own.
    """
    head = model.get_output_embeddings()
    given = head.forward
    own = vars(head).get("forward")

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        if places is not None:
            hidden = hidden.reshape(-1, hidden.shape[-1])[places][None]
        return _widened(head, hidden) if _is_half(head) else given(hidden)

    head.forward = forward
    try:
        yield
    finally:
        if own is None:
            del head.forward
        else:
            head.forward = own


def _is_half(head: Any) -> bool:
    import torch

    return isinstance(head, torch.nn.Linear) and head.weight.dtype in (torch.bfloat16, torch.float16)


def _widened(head: torch.nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.nn.functional import linear

    hidden = hidden.float()
    made = torch.cat([linear(hidden, rows.float()) for rows in torch.split(head.weight, _ROWS)], -1)
    return made if head.bias is None else made + head.bias.float()
