"""TW-GRPO's token weights: positions where the rollouts of a group differ most count most.

    d_t = 1/G · Σ_i Σ_v (e^δ − δ − 1),  δ = mean_j log p_jt(v) − log p_it(v) clamped to ±11
    w_t = 1 + (α − 1) · (d_t − min d)/(max d − min d)

over the positions up to the group's longest rollout; past its own end a rollout counts as uniform. w_t multiplies the loss of the tokens
at t of every rollout of the group. α = 1.7. Source: TW-GRPO, 2505.24718, as its released trainer
computes it; sampling temperature plays no part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidground_trl.methods.method import Method

if TYPE_CHECKING:
    import torch

CLAMP = 11.0
_TINY = 1e-8


def token_weights(log_probs: torch.Tensor, mask: torch.Tensor, *, alpha: float) -> torch.Tensor:
    """Weights (tokens,) of one group for `log_probs` (rollouts, tokens, vocabulary) and `mask` (rollouts, tokens), 1 at its tokens.

    Positions that no rollout reaches have weight 1.
    """
    import math

    import torch

    uniform = -math.log(log_probs.shape[-1])
    filled = torch.where(mask.bool().unsqueeze(-1), log_probs.float(), uniform)
    apart = (filled.mean(0, keepdim=True) - filled).clamp(-CLAMP, CLAMP)
    distance = (apart.exp() - apart - 1).sum(-1).mean(0)
    reached = mask.bool().any(0)
    if not reached.any():
        return torch.ones_like(distance)
    least, most = distance[reached].min(), distance[reached].max()
    weights = 1 + (alpha - 1) * (distance - least) / (most - least + _TINY)
    return torch.where(reached, weights, torch.ones_like(weights))


METHOD = Method(
    name="tw-grpo",
    title="TW-GRPO (token weights)",
    settings={"token_weight": 1.7, "beta": 0.0},
    options=("token_weight",),
    formula="w_t = 1 + (α − 1)·minmax(d_t), d_t the mean k3 distance of the rollouts' token distributions to their mean; α 1.7",
    source="TW-GRPO, arXiv 2505.24718, and its code",
    claim="tokens after the rollouts have parted weigh more than those before, where all have one distribution",
    limits="The first token always weighs 1, as all rollouts stand alike before it: of a one-word answer its end weighs most. "
    "One more forward pass, with the whole vocabulary at every token: rollouts × tokens × vocabulary × 4 bytes for a group.",
)
