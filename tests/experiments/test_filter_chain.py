"""The setting `filter` as one policy or several, from YAML, flags and --set to components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import ConfigError, UnknownComponentError
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.settings import passed_settings, resolve_settings
from vidground_core.plugins import load_registry

REGISTRY = load_registry(restrict="")
FILE = """\
filter:
  - consensus
  - name: budget
    keep: 30
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "run.yaml").write_text(FILE)
    return tmp_path / "run.yaml"


def chain(file: Path | None = None, flags: list[str] | None = None, sets: tuple[str, ...] = (), **base: Any) -> list[dict[str, Any]]:
    """The policies that are built, their options among them."""
    passed = passed_settings(file, {"filter": flags, "seed": 3}, sets, base)
    policies = Assembly(resolve_settings(passed, REGISTRY), REGISTRY).filters()
    return [{"name": policy.name, **policy.config.model_dump()} for policy in policies]


def test_a_list_in_a_file_is_applied_in_its_order(file: Path) -> None:
    consensus, budget = chain(file)
    assert (consensus["name"], consensus["m"]) == ("consensus", 2)
    assert (budget["name"], budget["keep"], budget["seed"]) == ("budget", 30, 3)


def test_options_of_one_policy_stand_under_its_name(file: Path) -> None:
    consensus, budget = chain(file, sets=("filter.consensus.m=1", "filter.budget.rank=random"))
    assert (consensus["m"], budget["keep"], budget["rank"]) == (1, 30, "random")


def test_flags_name_the_policies_and_keep_their_options(file: Path) -> None:
    found = chain(file, ["budget", "balanced"], sets=("filter.balanced.keep=0.5",))
    assert [(policy["name"], policy["keep"]) for policy in found] == [("budget", 30), ("balanced", 0.5)]
    (budget,) = chain(file, ["budget"], sets=("filter.rank=random",))
    assert (budget["name"], budget["keep"], budget["rank"]) == ("budget", 30, "random")


def test_a_list_replaces_the_one_policy_below() -> None:
    consensus, budget = chain(None, ["consensus", "budget"], filter={"name": "consensus", "m": 3})
    assert (consensus["m"], budget["keep"]) == (3, 0.5)
    (threshold,) = chain(None, ["threshold"], filter=["consensus", "budget"])
    assert threshold["name"] == "threshold"


def test_one_policy_is_written_as_ever(tmp_path: Path) -> None:
    for written in ("filter: budget", "filter: [budget]", "filter: {name: budget}", "filter: [{name: budget}]"):
        (tmp_path / "run.yaml").write_text(written)
        passed = passed_settings(tmp_path / "run.yaml", {}, ())
        assert passed == {"filter": {"name": "budget"}}
        assert resolve_settings(passed, REGISTRY).model_dump(mode="json")["filter"] == {"name": "budget"}
    assert passed_settings(None, {"filter": ["budget"]}, ("filter.keep=3",)) == {"filter": {"name": "budget", "keep": 3}}
    assert [policy["name"] for policy in chain()] == ["drop-answerable"]


@pytest.mark.parametrize(
    ("value", "sets", "said"),
    [
        (["consensus", "budget"], ("filter.keep=3",), r"filter\.keep = 3: with several policies write filter\.POLICY\.KEY=VALUE"),
        (["consensus", "budget"], ("filter.budgt.keep=3",), r"filter\.budgt = .*: with several policies .*; did you mean 'budget'\?"),
        (["consensus", "consensus"], (), "the policy 'consensus' is named twice"),
        ([], (), r"filter = \[\]: name at least one policy, such as drop-answerable"),
        (["consensus", 3], (), "filter = 3: expected a name, a mapping with name and options, or a list of these"),
        (["consensus", {"keep": 3}], (), r"filter = \{'keep': 3\}: in a list each policy needs its name"),
        (3, (), "filter = 3: expected a name, a mapping"),
    ],
)
def test_what_cannot_be_used_is_said(value: Any, sets: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve_settings(passed_settings(None, {}, sets, {"filter": value}), REGISTRY)


def test_a_wrong_name_or_option_in_a_list_is_said() -> None:
    with pytest.raises(UnknownComponentError, match="unknown filter 'budgt': did you mean 'budget'"):
        chain(filter=["consensus", "budgt"])
    with pytest.raises(ConfigError, match="filter 'budget': unknown option 'kep'; did you mean 'keep'"):
        chain(filter=["consensus", {"name": "budget", "kep": 3}])
