"""T-GRPO's temporal reward: rollouts on the frames in order are compared with rollouts on the same frames shuffled.

    r_i ← r_i + α where acc_i > .1 and the row has a video, if mean_acc(ordered) ≥ μ · mean_acc(shuffled)

with α = .3, μ = .8 and half a group of shuffled rollouts, which earn nothing and are not trained on. Source: Video-R1, 2503.21776,
equation 1, with the factor and the threshold of its released trainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vidground_core import Clip
from vidground_trl.methods.length import RIGHT
from vidground_trl.methods.method import Method


def temporal(accuracies: Sequence[float | None], shuffled: Sequence[float | None], *, ratio: float, group: int) -> list[float | None]:
    """1 for each rollout that earns the temporal reward, else 0, None for one that was not judged.

    `shuffled[i]` is the mean accuracy on shuffled frames of rollout i's prompt, None for one without a video and where no answer was
    judged; groups stand one after the other.
    """
    earned: list[float | None] = []
    for start in range(0, len(accuracies), group):
        values, other = accuracies[start : start + group], shuffled[start]
        ordered = mean_judged(values)
        uses_order = ordered is not None and other is not None and ordered >= ratio * other
        earned += [None if value is None else float(uses_order and value > RIGHT) for value in values]
    return earned


def mean_judged(accuracies: Sequence[float | None]) -> float | None:
    """Mean of the accuracies that there are; None where no rollout was judged."""
    judged = [value for value in accuracies if value is not None]
    return sum(judged) / len(judged) if judged else None


def shuffled_clips(clips: Sequence[Clip], *, seed: int, step: int) -> list[Clip]:
    """The clips with the frames of each video in another order; it depends on the seed, the step and the video only."""
    drawn = int(np.random.default_rng([seed, 2, step]).integers(2**31))
    return [replace(clip, view="shuffled", seed=drawn) if clip.type == "video" else clip for clip in clips]


METHOD = Method(
    name="t-grpo",
    title="T-GRPO (temporal reward)",
    settings={"temporal_reward": 0.3, "temporal_ratio": 0.8},
    options=("temporal_reward", "temporal_ratio", "temporal_rollouts"),
    formula="r_i + .3 where acc_i > .1, if mean_acc(ordered) ≥ .8 · mean_acc(shuffled), with G/2 rollouts on shuffled frames",
    source="Video-R1, arXiv 2503.21776, eq. 1, and its code",
    claim="groups that answer no worse in order than shuffled earn more (`temporal/groups` is their share)",
    limits="Half as many rollouts again. At mean_acc 0 = 0 the condition holds, but nobody is right and nothing is earned.",
)
