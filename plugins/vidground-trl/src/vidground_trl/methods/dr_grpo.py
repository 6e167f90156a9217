"""Dr. GRPO: neither the group's standard deviation nor the rollout's length divides.

    A_i = r_i − mean(r),   J = 1/(G · L_max) · Σ_i Σ_t min(ρ_it A_i, clip(ρ_it, 1 − ε, 1 + ε) A_i)

with L_max = `max_completion_length`. Source: Understanding R1-Zero-Like Training, 2503.20783, section 3; computed by TRL. It is two
options, since each is useful alone: `loss_type: dr_grpo` for the length, `scale_rewards: none` for the standard deviation.
"""

from __future__ import annotations

from vidground_trl.methods.method import Method

METHOD = Method(
    name="dr-grpo",
    title="Dr. GRPO",
    settings={"loss_type": "dr_grpo", "scale_rewards": "none"},
    options=("loss_type", "scale_rewards"),
    formula="A_i = r_i − mean(r); 1/(G·L_max) · Σ_i Σ_t ℓ_it",
    source="Understanding R1-Zero-Like Training, arXiv 2503.20783, sec. 3",
    claim="an advantage is the distance to the mean reward, not larger in groups of low variance",
    limits="Two options; with one alone it is half of Dr. GRPO.",
)
