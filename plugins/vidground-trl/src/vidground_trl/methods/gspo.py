"""GSPO: one probability ratio a rollout, the geometric mean of its tokens' ratios, clipped as a whole.

    s_i = (π(o_i) / π_old(o_i))^(1/|o_i|),   J = 1/G · Σ_i min(s_i A_i, clip(s_i, 1 − ε_low, 1 + ε_high) A_i)

with ε_low = 3e-4, ε_high = 4e-4 in the paper. Source: 2507.18071, section 4.1; computed by TRL. Needs `loss_type: grpo`, since
there is one term a rollout. With one step a generation s_i is 1 and its gradient is that of GRPO.
"""

from __future__ import annotations

from vidground_trl.methods.method import Method

METHOD = Method(
    name="gspo",
    title="GSPO",
    settings={"importance_sampling_level": "sequence", "loss_type": "grpo", "epsilon": 3e-4, "epsilon_high": 4e-4},
    options=("importance_sampling_level",),
    formula="s_i = (π(o_i)/π_old(o_i))^(1/\\|o_i\\|); 1/G · Σ_i min(s_i A_i, clip(s_i, 1 − ε_low, 1 + ε_high)A_i)",
    source="Group Sequence Policy Optimization, arXiv 2507.18071, sec. 4.1",
    claim="whole rollouts are clipped (`clip_ratio/region_mean` is a share of rollouts, high at these ε)",
    limits="Only with `num_iterations` > 1, as for clip-higher; `loss_type` must be grpo.",
)
