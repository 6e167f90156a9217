"""CDPO: the reference is a model of the bias, and the divergence from it is sought instead of avoided.

    J = J_GRPO − β KL(π ‖ π_bias),   β = −.01

π_bias is the start checkpoint trained on the shortcut (TA) questions alone: `vg filter` leaves them in `dropped/`, `vg train` on those
gives the checkpoint to name. Source: CDPO, 2605.01324.
"""

from __future__ import annotations

from vidground_trl.methods.method import Method

METHOD = Method(
    name="cdpo",
    title="CDPO (repulsion from a bias model)",
    settings={"reference": "BIAS_CHECKPOINT", "beta": -0.01},
    options=("reference", "beta"),
    formula="J_GRPO − β·KL(π ‖ π_bias) with β = −.01",
    source="CDPO, arXiv 2605.01324",
    claim="the divergence from the bias model (`kl`) grows faster than at β = 0",
    limits="The k3 estimate has no upper bound, so a strong negative β drives the policy anywhere; keep max_grad_norm and watch `kl`.",
)
