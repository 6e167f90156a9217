"""Clip-higher (DAPO): the probability ratio may rise further than it may fall, so unlikely right tokens can still gain.

    min(ρ A, clip(ρ, 1 − ε_low, 1 + ε_high) A),   ε_low = .2, ε_high = .28

Source: DAPO, 2503.14476, equation 10; computed by TRL. On the first step after a generation ρ is 1 and nothing is clipped, so this has an
effect with `num_iterations` > 1 only.
"""

from __future__ import annotations

from vidground_trl.methods.method import Method

METHOD = Method(
    name="clip-higher",
    title="Clip-higher",
    settings={"epsilon": 0.2, "epsilon_high": 0.28},
    options=("epsilon_high",),
    formula="min(ρA, clip(ρ, 1 − ε_low, 1 + ε_high)A), ε_low .2, ε_high .28",
    source="DAPO, arXiv 2503.14476, eq. 10",
    claim="fewer tokens are clipped from above (`clip_ratio/high_mean`) than with ε_high = ε_low",
    limits="Only with `num_iterations` > 1: on the first step after a generation every ratio is 1. A run that sets it with 1 says so.",
)
