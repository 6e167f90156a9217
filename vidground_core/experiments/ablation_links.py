"""Arms that start from what another arm has trained: the value `arm:NAME` of a trainer's option is that arm's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidground_core.errors import ConfigError, nearest
from vidground_core.experiments.ablation_settings import ArmSettings

PREFIX = "arm:"


def links(options: Mapping[str, Any]) -> dict[str, str]:
    """The options of a trainer whose value is another arm's checkpoint, with that arm's name."""
    named = {key: value for key, value in options.items() if isinstance(value, str) and value.startswith(PREFIX)}
    return {key: value.removeprefix(PREFIX) for key, value in named.items()}


def in_order(arms: Sequence[ArmSettings], trainers: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]) -> list[ArmSettings]:
    """The arms, each after those whose checkpoints it names, else as they stand.

    Raises ConfigError where such an arm does not exist, is not trained with a seed that is needed, or needs itself in the end.
    """
    by_name = {arm.name: arm for arm in arms}
    order: dict[str, ArmSettings] = {}

    def place(arm: ArmSettings, above: tuple[str, ...]) -> None:
        if arm.name in above:
            raise ConfigError(f"the arms {' → '.join((*above[above.index(arm.name) :], arm.name))} wait for each other's checkpoints")
        for option, name in links(trainers[arm.name]).items():
            if name not in by_name:
                raise ConfigError(f"arm {arm.name!r}: trainer.{option} names the arm {name!r}, which is none; {nearest(name, by_name)}")
            lacking = [seed for seed in arm.seeds or seeds if seed not in (by_name[name].seeds or seeds)]
            if lacking:
                raise ConfigError(f"arm {arm.name!r}: trainer.{option} needs the arm {name!r} with seed {lacking[0]}, which it has not")
            place(by_name[name], (*above, arm.name))
        order.setdefault(arm.name, arm)

    for arm in arms:
        place(arm, ())
    return list(order.values())
