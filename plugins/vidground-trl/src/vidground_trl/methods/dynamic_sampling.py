"""Dynamic sampling (DAPO): groups that are all right or all wrong teach nothing, so the next prompts take their place.

    a group is kept where 0 < |{o_i : right}| < G; here, for rewards between 0 and 1: where the accuracies are not all the same

The data is consumed in its order, base batch and replacements alike, so `prompts` counts every prompt with rollouts, trained on or not,
and a run ends when that many are consumed: budgets stay comparable. A step makes at most `dynamic_sampling` rounds of replacements; groups
without variance that are left then stay in the batch, where their advantage is 0. Source: DAPO, 2503.14476, section 3.2, equation 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidground_trl.methods.method import Method

_SAME = 1e-6


def without_variance(accuracies: Sequence[float | None], group: int) -> list[int]:
    """Numbers of the groups whose accuracies are all the same; rollouts that were not judged (None) do not count."""
    parts = [[value for value in accuracies[start : start + group] if value is not None] for start in range(0, len(accuracies), group)]
    return [number for number, part in enumerate(parts) if not part or max(part) - min(part) < _SAME]


@dataclass
class Stream:
    """The order of a run as it is consumed: `total` prompts, the first `taken` of them used up. `steps` hold `base` prompts each."""

    total: int
    base: int
    taken: int = 0

    def take(self, count: int) -> list[int]:
        """The next `count` places in the order, fewer where it ends."""
        places = list(range(self.taken, min(self.taken + count, self.total)))
        self.taken += len(places)
        return places

    @property
    def left(self) -> int:
        """Prompts not yet consumed."""
        return self.total - self.taken

    @property
    def exhausted(self) -> bool:
        """Whether no whole step is left."""
        return self.left < self.base


METHOD = Method(
    name="dynamic-sampling",
    title="Dynamic sampling",
    settings={"dynamic_sampling": 4},
    options=("dynamic_sampling",),
    formula="groups with 0 < right < G only; the others are replaced by the next prompts, in at most so many rounds a step",
    source="DAPO, arXiv 2503.14476, eq. 11",
    claim="fewer groups without variance (`frac_reward_zero_std`) for the same prompts, in fewer steps",
    limits="A learning rate that ends at 0 (linear, cosine) is refused: the number of steps is not known beforehand.",
)
