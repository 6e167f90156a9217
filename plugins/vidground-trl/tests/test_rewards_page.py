"""docs/reference/rewards.md holds what the code gives now."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

BUILD = Path(__file__).parents[3] / "docs" / "build_rewards.py"


@pytest.fixture
def build() -> ModuleType:
    spec = spec_from_file_location("build_rewards", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(build: ModuleType) -> None:
    assert build.PAGE.read_text(encoding="utf-8") == build.page(), "run: python docs/build_rewards.py"


def test_the_reward_of_its_example_runs(build: ModuleType) -> None:
    block = build.page().split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(block, names)
    row = build.row_of(build.attacks()[0])
    reward = names["short_and_right"]
    assert callable(reward)
    assert (reward("<answer>B</answer>", row), reward("<think>" + "a" * 400 + "</think><answer>B</answer>", row)) == (1, 0)
