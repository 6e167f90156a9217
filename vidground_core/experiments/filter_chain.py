"""The setting `filter`: one policy, or several that are applied one after another.

One policy is a name, or a mapping with `name` and its options; several are a list of such. Options of a policy in a list are set as
`filter.POLICY.KEY`, those of the only one as `filter.KEY`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidground_core.config import merge
from vidground_core.errors import ConfigError, nearest

Policy = Mapping[str, Any]


def normal(value: Any) -> Any:
    """A name as a mapping; a list as one of mappings, or as its only element. What is neither is left for `check`."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, list | tuple):
        policies = [{"name": each} if isinstance(each, str) else each for each in value]
        return policies[0] if len(policies) == 1 else policies
    return value


def overlay(below: Any, over: Any) -> Any:
    """`over` on `below`, both normal, at least one a list: a policy that both have keeps its options, those of `over` on top.

    Raises ConfigError for options that name no policy of the list.
    """
    if isinstance(over, list):
        return [_merged(below, policy) for policy in over]
    if not isinstance(over, Mapping) or "name" in over:
        return _merged(below, over)
    if isinstance(below, Mapping):
        return merge(below, over)
    return [merge(policy, over.get(policy.get("name"), {})) for policy in _addressed(below, over)]


def _merged(below: Any, over: Any) -> Any:
    if not isinstance(over, Mapping):
        return over
    same = [policy for policy in _listed(below) if isinstance(policy, Mapping) and policy.get("name") == over.get("name")]
    return merge(same[0], over) if same else dict(over)


def _addressed(below: Any, over: Policy) -> Sequence[Policy]:
    """The policies below, each option of `over` standing under the name of one of them."""
    names = [str(policy.get("name")) for policy in below]
    for key, value in over.items():
        if key not in names or not isinstance(value, Mapping):
            raise ConfigError(f"filter.{key} = {value!r}: with several policies write filter.POLICY.KEY=VALUE; {nearest(key, names)}")
    return list(below)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def check(value: Any) -> None:
    """Raises ConfigError where the setting `filter` is no policy and no list of policies, each once."""
    if isinstance(value, list) and not value:
        raise ConfigError("filter = []: name at least one policy, such as drop-answerable")
    for policy in value if isinstance(value, list) else [value]:
        if not isinstance(policy, Mapping):
            raise ConfigError(f"filter = {policy!r}: expected a name, a mapping with name and options, or a list of these")
        if isinstance(value, list) and not policy.get("name"):
            raise ConfigError(f"filter = {dict(policy)!r}: in a list each policy needs its name")
    refuse_repeated([str(policy.get("name")) for policy in _listed(value)])


def refuse_repeated(names: Sequence[str]) -> None:
    """Raises ConfigError where a policy is named twice: its options could not be told apart."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"the policy {twice[0]!r} is named twice; run vg filter twice, or use one policy with wider options")
