from __future__ import annotations

from pathlib import Path

import pytest
from vidground_trl.rewards import RewardRow, strict, video_r1
from vidground_trl.rewards_named import find_reward, reward_problem

from vidground_core import ConfigError, PluginError

ROW = RewardRow("q7", "?", "multiple choice", "red", ("red", "blue"))
MODULE = """
def brief(completion, row):
    return len(completion) / 10 if row.gold == "red" else None
def broken(completion, row):
    raise KeyError("no such thing")
def worded(completion, row):
    return "much"
def endless(completion, row):
    return float("inf")
number = 3
"""


@pytest.fixture
def rewards_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a third party that is on the path, and a distribution that offers one of its functions."""
    (tmp_path / "thirdparty_rewards.py").write_text(MODULE)
    (tmp_path / "thirdparty_broken.py").write_text("import there_is_no_such_module\n")
    distribution = tmp_path / "thirdparty-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(
        "[vidground.rewards]\nbriefest = thirdparty_rewards:brief\nbad = thirdparty_rewards:gone\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "thirdparty_rewards"


def test_those_that_come_along() -> None:
    assert (find_reward("strict"), find_reward("video-r1")) == (strict, video_r1)


def test_by_entry_point_and_by_path(rewards_module: str) -> None:
    for name in ("briefest", f"{rewards_module}:brief"):
        assert reward_problem(name) == ""
        reward = find_reward(name)
        assert reward("abcde", ROW) == 0.5
        assert reward("abcde", RewardRow("q", "?", "OCR", "stop")) is None


def test_an_unknown_name_is_refused_with_the_nearest(rewards_module: str) -> None:
    expected = (
        "rewards = 'stricter' is no reward; did you mean 'strict'? there is: bad, briefest, strict, video-r1; "
        "or a function of your own as package.module:function"
    )
    with pytest.raises(ConfigError) as caught:
        find_reward("stricter")
    assert str(caught.value) == expected
    assert reward_problem("stricter") == expected + "."


def test_a_module_that_is_not_there(rewards_module: str) -> None:
    with pytest.raises(PluginError, match=r"rewards = 'no_mod:f': cannot import 'no_mod': ModuleNotFoundError"):
        find_reward("no_mod:f")
    assert reward_problem("no_mod:f") == (
        "rewards = 'no_mod:f': there is no module 'no_mod' on the interpreter's path; install it, or set PYTHONPATH."
    )
    with pytest.raises(PluginError, match=r"rewards = 'thirdparty_broken:f': cannot import 'thirdparty_broken': ModuleNotFoundError"):
        find_reward("thirdparty_broken:f")


def test_a_function_that_is_not_there(rewards_module: str) -> None:
    with pytest.raises(
        ConfigError, match=r"thirdparty_rewards has no 'breif'; did you mean 'brief'\? there is: brief, broken, endless, worded$"
    ):
        find_reward(f"{rewards_module}:breif")
    with pytest.raises(PluginError, match=r"rewards = 'bad' \(thirdparty_rewards:gone\) cannot be loaded: AttributeError"):
        find_reward("bad")


def test_what_is_no_function(rewards_module: str) -> None:
    with pytest.raises(ConfigError, match=r"rewards = 'thirdparty_rewards:number' is 3, no function; expected \(completion, row\)"):
        find_reward(f"{rewards_module}:number")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("broken", "failed on row 'q7': KeyError: 'no such thing'"),
        ("worded", "returned 'much' for row 'q7'; expected a finite number, or None for no word"),
        ("endless", "returned inf for row 'q7'; expected a finite number, or None for no word"),
    ],
)
def test_a_failing_reward_is_named_with_the_row(rewards_module: str, name: str, expected: str) -> None:
    with pytest.raises(PluginError) as caught:
        find_reward(f"{rewards_module}:{name}")("text", ROW)
    assert str(caught.value) == f"rewards = 'thirdparty_rewards:{name}' {expected}"
