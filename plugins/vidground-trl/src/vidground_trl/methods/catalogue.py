"""All methods, in the order of the reference page."""

from __future__ import annotations

from vidground_trl.methods import (
    bias_reference,
    clip_higher,
    dr_grpo,
    dynamic_sampling,
    gspo,
    length,
    overlong,
    soft_reward,
    temporal,
    token_level,
    token_weights,
)
from vidground_trl.methods.method import Method

METHODS: tuple[Method, ...] = (
    token_level.METHOD,
    clip_higher.METHOD,
    dynamic_sampling.METHOD,
    overlong.FILTER,
    overlong.PENALTY,
    dr_grpo.METHOD,
    gspo.METHOD,
    temporal.METHOD,
    length.METHOD,
    token_weights.METHOD,
    soft_reward.METHOD,
    bias_reference.METHOD,
)
