"""Length reward of Video-R1, on in the VidGround paper's runs: right answers of a wanted length earn a little more.

    r_i ← r_i + ω where acc_i > .1 and l_min ≤ |o_i| ≤ l_max, and more than one rollout of the group has acc > .1

with ω = .2, l_min = 320, l_max = 512. Source: Video-R1, 2503.21776, and its released trainer.
"""

from __future__ import annotations

from collections.abc import Sequence

from vidground_trl.methods.method import Method

# Above this an accuracy counts as right, as in Video-R1.
RIGHT = 0.1


def in_window(accuracies: Sequence[float | None], lengths: Sequence[int], *, window: tuple[int, int], group: int) -> list[float | None]:
    """1 for each rollout that earns the length reward, else 0, None for one that was not judged.

    `lengths` in tokens, end token included; groups stand one after the other.
    """
    earned: list[float | None] = []
    for start in range(0, len(accuracies), group):
        values = accuracies[start : start + group]
        several = sum(value is not None and value > RIGHT for value in values) > 1
        for value, length in zip(values, lengths[start : start + group], strict=True):
            fits = several and window[0] <= length <= window[1]
            earned.append(None if value is None else float(fits and value > RIGHT))
    return earned


METHOD = Method(
    name="length-reward",
    title="Length reward",
    settings={"length_reward": 0.2, "length_min": 320, "length_max": 512},
    options=("length_reward", "length_min", "length_max"),
    formula="r_i + .2 where acc_i > .1, l_min ≤ \\|o_i\\| ≤ l_max and the group has another right rollout",
    source="Video-R1, arXiv 2503.21776, and its code",
    claim="more rollouts end inside the window (`rewards/length/mean` rises)",
    limits="The window is in tokens: Video-R1's 320–512 says nothing where `max_completion_length` is small, so set it.",
)
