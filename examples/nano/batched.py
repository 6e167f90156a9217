"""The forward pass of the nano model over equal clips, batched.

The library's own pass takes the vision tower's clips one after another. This one is the same arithmetic for 8 frames of 56 x 56, several
times as fast on a CPU; `train.py` refuses to start where it does not agree with the library's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as library

GRID = (4, 4, 4)
PATCHES, TOKENS = 64, 16
_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]) * 255
_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]) * 255


@dataclass
class Rows:
    """Token rows of one batch, padded on the right: `ids` (B, L). With clips: `patches` uint8 (B, 64, 1176) and `seconds` (B,),
    the time one grid step covers. `answers` (B, L) is True where a token belongs to the answer or ends it.
    """

    ids: Tensor
    answers: Tensor
    patches: Tensor | None = None
    seconds: Tensor | None = None


def to_patches(pixels: Tensor) -> Tensor:
    """The video processor's output (N, 1176) as uint8, losslessly: channel is the slowest index inside a patch."""
    colours = pixels.view(len(pixels), 3, -1) * _STD[:, None] + _MEAN[:, None]
    return colours.round().to(torch.uint8).flatten(1)


def to_pixels(patches: Tensor) -> Tensor:
    """The inverse of `to_patches`, any number of leading axes."""
    colours = patches.float().view(*patches.shape[:-1], 3, -1)
    return ((colours - _MEAN[:, None]) / _STD[:, None]).flatten(-2)


def logits(model: Qwen2_5_VLForConditionalGeneration, rows: Rows) -> Tensor:
    """Logits (B, L, vocabulary). With clips, the row starts with <|vision_start|>, 16 video tokens, <|vision_end|>."""
    language = model.model.language_model
    embedded = language.embed_tokens(rows.ids)
    length = rows.ids.shape[1]
    if rows.patches is None or rows.seconds is None:
        positions = torch.arange(length).expand(3, len(rows.ids), length)
    else:
        seen = _vision(model.model.visual, to_pixels(rows.patches))
        embedded = torch.cat([embedded[:, :1], seen, embedded[:, 1 + TOKENS :]], 1)
        positions = _positions(rows.seconds * model.config.vision_config.tokens_per_second, length)
    hidden = language(inputs_embeds=embedded, position_ids=positions, attention_mask=None, use_cache=False).last_hidden_state
    return model.lm_head(hidden)


def _positions(intervals: Tensor, length: int) -> Tensor:
    batch = len(intervals)
    times = (torch.arange(GRID[0]) * intervals[:, None]).long().repeat_interleave(4, 1)
    rows = torch.tensor([0, 0, 1, 1]).repeat(4).expand(batch, -1)
    columns = torch.tensor([0, 1, 0, 1]).repeat(4).expand(batch, -1)
    clip = torch.stack([times, rows, columns]) + 1
    text = (torch.arange(length - TOKENS - 1) + 3).expand(3, batch, -1)
    return torch.cat([torch.zeros(3, batch, 1, dtype=torch.long), clip, text], 2)


def _vision(tower: nn.Module, pixels: Tensor) -> Tensor:
    """(B, 64, 1176) to (B, 16, hidden); attention within each of the four grid steps."""
    batch, heads = len(pixels), tower.config.num_heads
    hidden = functional.linear(pixels.view(batch * GRID[0], 16, -1), tower.patch_embed.proj.weight.flatten(1))
    place = library.get_vision_position_ids(torch.tensor([[1, 4, 4]]), 2, kwargs={})
    cos, sin = tower.rotary_pos_emb(hidden, place)

    def turned(x: Tensor) -> Tensor:
        return x * cos + library.rotate_half(x) * sin

    for block in tower.blocks:
        q, k, v = block.attn.qkv(block.norm1(hidden)).view(batch * GRID[0], 16, 3, heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(turned(q), turned(k), v, scale=block.attn.scaling)
        hidden = hidden + block.attn.proj(seen.transpose(1, 2).flatten(2))
        hidden = hidden + block.mlp(block.norm2(hidden))
    return tower.merger(hidden.reshape(-1, hidden.shape[-1])).view(batch, TOKENS, -1)
