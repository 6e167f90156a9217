"""Rewards by name: those that come along, a third party's by entry point (group `vidground.rewards`), or `package.module:function`.

A third party's reward is a function `(completion: str, row: RewardRow) -> float | None`; it runs in the worker's process.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from importlib import import_module, metadata
from importlib.util import find_spec

from vidground_core import ConfigError, PluginError, nearest
from vidground_trl.rewards import REWARDS, Reward, RewardRow

GROUP = "vidground.rewards"


def find_reward(name: str) -> Reward:
    """The reward of that name, a third party's within a check of what it returns.

    Raises ConfigError for an unknown name and for what is no function, PluginError where its module cannot be imported.
    """
    if name in REWARDS:
        return REWARDS[name]
    if ":" in name:
        return _checked(name, _from_path(name))
    found = _entry_points().get(name)
    if found is None:
        raise ConfigError(_unknown(name))
    try:
        loaded = found.load()
    except Exception as error:
        raise PluginError(f"rewards = {name!r} ({found.value}) cannot be loaded: {type(error).__name__}: {error}") from error
    return _checked(name, loaded)


def reward_problem(name: str) -> str:
    """Why that name cannot be a reward here, without importing its module; empty where nothing speaks against it."""
    if name in REWARDS or name in _entry_points():
        return ""
    if ":" not in name:
        return _unknown(name) + "."
    package = name.partition(":")[0].partition(".")[0]
    if package.isidentifier() and find_spec(package) is not None:
        return ""
    return f"rewards = {name!r}: there is no module {package!r} on the interpreter's path; install it, or set PYTHONPATH."


def _entry_points() -> Mapping[str, metadata.EntryPoint]:
    return {found.name: found for found in metadata.entry_points(group=GROUP)}


def _unknown(name: str) -> str:
    known = nearest(name, [*REWARDS, *_entry_points()])
    return f"rewards = {name!r} is no reward; {known}; or a function of your own as package.module:function"


def _from_path(name: str) -> object:
    module, _, attribute = name.partition(":")
    try:
        found = import_module(module)
    except Exception as error:
        raise PluginError(f"rewards = {name!r}: cannot import {module!r}: {type(error).__name__}: {error}") from error
    if not hasattr(found, attribute):
        functions = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"rewards = {name!r}: {sys.modules[module].__name__} has no {attribute!r}; {nearest(attribute, functions)}")
    return getattr(found, attribute)


def _checked(name: str, found: object) -> Reward:
    if not callable(found):
        raise ConfigError(f"rewards = {name!r} is {found!r}, no function; expected (completion, row) -> float or None")

    def reward(completion: str, row: RewardRow) -> float | None:
        try:
            value = found(completion, row)
        except Exception as error:
            raise PluginError(f"rewards = {name!r} failed on row {row.id!r}: {type(error).__name__}: {error}") from error
        if value is not None and (not isinstance(value, int | float) or not math.isfinite(value)):
            raise PluginError(f"rewards = {name!r} returned {value!r} for row {row.id!r}; expected a finite number, or None for no word")
        return None if value is None else float(value)

    return reward
