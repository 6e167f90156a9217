"""The rewards that methods add to accuracy and format, in TRL's form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vidground_trl.methods.length import in_window
from vidground_trl.methods.overlong import soft_overlong
from vidground_trl.methods.temporal import mean_judged, temporal

if TYPE_CHECKING:
    from vidground_trl.config import TRLGRPOConfig

Accuracies = Callable[[], Sequence[float | None]]
RewardFunction = Callable[..., list[Any]]


def added_rewards(config: TRLGRPOConfig, accuracies: Accuracies) -> tuple[list[RewardFunction], list[float]]:
    """Functions and weights of the methods that are on; `accuracies` gives those of the batch that TRL has just had judged.

    Each function's values are 0..1 (−1..0 for the penalty) before the weight, so their mean in the metrics is a share. A rollout whose
    accuracy is None earns None of what hangs on it.
    """
    group = config.num_generations

    def temporal_reward(shuffled_accuracy: Sequence[float | None], log_metric: Any, **_: Any) -> list[float | None]:
        right = accuracies()
        earned = temporal(right, shuffled_accuracy, ratio=config.temporal_ratio, group=group)
        ordered = [mean_judged(right[start : start + group]) for start in range(0, len(right), group)]
        for mine, other in zip(ordered, shuffled_accuracy[::group], strict=True):
            if mine is not None and other is not None:
                log_metric("temporal/ordered", mine)
                log_metric("temporal/shuffled", other)
                log_metric("temporal/groups", float(mine >= config.temporal_ratio * other))
        return earned

    def length_reward(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
        window = (config.length_min, config.length_max)
        return in_window(accuracies(), [len(ids) for ids in completion_ids], window=window, group=group)

    def overlong_penalty(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        lengths = [len(ids) for ids in completion_ids]
        return soft_overlong(lengths, limit=config.max_completion_length, buffer=config.overlong_buffer)

    offered = (
        ("temporal", temporal_reward, config.temporal_reward),
        ("length", length_reward, config.length_reward),
        ("overlong", overlong_penalty, config.overlong_penalty),
    )
    chosen = [(name, function, weight) for name, function, weight in offered if weight]
    for name, function, _ in chosen:
        function.__name__ = name
    return [function for _, function, _ in chosen], [weight for _, _, weight in chosen]
