"""Token-level loss (DAPO, and the loss of the VidGround paper): every token of the batch weighs the same.

    J = 1/Σ|o_i| · Σ_i Σ_t min(ρ_it A_i, clip(ρ_it, 1 − ε, 1 + ε) A_i) − β KL

against the mean over each rollout's own tokens first (`loss_type: grpo`), where a token of a long rollout weighs less. The sum goes over
all rollouts of a step, whatever the micro-batch. Source: DAPO, 2503.14476, equation 12; computed by TRL.
"""

from __future__ import annotations

from vidground_trl.methods.method import Method

METHOD = Method(
    name="token-level-loss",
    title="Token-level loss",
    settings={"loss_type": "dapo"},
    options=("loss_type",),
    formula="1/Σ\\|o_i\\| · Σ_i Σ_t ℓ_it over the whole batch (against 1/G Σ_i 1/\\|o_i\\| Σ_t ℓ_it)",
    source="DAPO, arXiv 2503.14476, eq. 12",
    claim="a token of a long rollout weighs as much as one of a short rollout: long rollouts weigh more than with `loss_type=grpo`",
    limits="No difference where all rollouts of a batch have one length.",
)
