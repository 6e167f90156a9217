"""The config of the study on 8 GPUs: every name and option in it is known, and its runs are those that its page counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vidground_core.experiments.ablation_plan import Planner, Run, Size
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.settings import passed_settings, resolve_settings
from vidground_core.plugins import load_registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "study-on-8-gpus.md").read_text(encoding="utf-8")


def planner(*changes: str) -> Planner:
    registry = load_registry()
    settings = passed_settings(ROOT / "examples" / "study" / "video-r1.yaml", {}, list(changes))
    return Planner(Assembly(resolve_settings(settings, registry), registry))


def test_its_runs_are_those_of_the_page() -> None:
    built = planner()
    # The counts of the paper's filter on Video-R1-260K: 181,710 of 263,071 kept.
    sizes = {each.name: Size(181_710, 125_500 if "random" in each.name else 181_710) for each in built.conditions()}
    sizes |= {"full": Size(263_071, 181_710), "ta-only": Size(81_361, 0)}
    runs = built.plan(sizes).runs
    trained = Counter(run.key.partition("p-s")[0] for run in runs)
    assert {run.prompts for run in runs if run.condition.name == "filtered"} == {5600, 3868}
    assert trained["full-5600"] == trained["t-grpo-5600"] == trained["clip-higher-5600"] == 3
    assert f"the whole config ({len(runs)} runs, {_temporal(runs)} of T-GRPO)" in PAGE


def test_the_first_seed_is_as_many_runs_as_the_page_says() -> None:
    built = planner("ablation.seeds=[0]", "ablation.budgets=[prompts]")
    sizes = {each.name: Size(100, 100) for each in built.conditions()} | {"full": Size(150, 100)}
    plan = built.plan(sizes)
    arms = {use.arm for use in plan.uses}
    assert arms == {"full", "filtered", "t-grpo", "clip-higher", "paper", "random-matched", "ta-only"}
    assert f"One seed under one budget ({len(plan.runs)} runs, {_temporal(plan.runs)} of T-GRPO)" in PAGE


def _temporal(runs: Sequence[Run]) -> int:
    return sum(bool(run.trainer["temporal_reward"]) for run in runs)
