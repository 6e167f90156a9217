"""The plan of an ablation: conditions, runs, shared runs, budgets, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import ConfigError, VidGroundError
from vidground_core.experiments.ablation_plan import FULL, Plan, Planner, Size
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.settings import resolve_settings
from vidground_core.plugins import Registry, load_registry

PLUGIN = """
from typing import Any, ClassVar
from vidground_core import Trainer, TrainerConfig, TrainPlan, hookimpl

VIDGROUND_API = ">=1,<2"

class CountedConfig(TrainerConfig):
    prompts: int = 0
    lr: float = 0.1
    reference: str = ""

class Counted(Trainer[CountedConfig]):
    name, version, Config = "counted", "1", CountedConfig
    def check(self, job): return []
    def plan(self, job): return TrainPlan(())
    def train(self, job): raise NotImplementedError

class Uncounted(Counted):
    name, Config = "uncounted", TrainerConfig

@hookimpl
def vidground_register_trainers():
    return [Counted, Uncounted]
"""


@pytest.fixture
def registry(make_plugin: Callable[..., Path]) -> Registry:
    make_plugin("counting", PLUGIN)
    return load_registry(restrict="counting,transformers")


def planner(registry: Registry, trainer: Any = "counted", **ablation: Any) -> Planner:
    passed = {"dataset": {"name": "planted"}, "detectors": ["question-only"], "model": "nano", "trainer": {"name": trainer}}
    return Planner(Assembly(resolve_settings({**passed, "ablation": ablation}, registry), registry))


def plan(made: Planner, grounded: float = 0.5, **sizes: tuple[int, int]) -> Plan:
    known = {FULL: Size(100, 60)} | {each.name: Size(40, round(40 * grounded)) for each in made.conditions() if each.name != FULL}
    return made.plan(known | {name.replace("_", "-"): Size(*size) for name, size in sizes.items()})


def keys(made: Plan) -> list[str]:
    return [run.key for run in made.runs]


def test_controls_are_added_unless_told_otherwise(registry: Registry) -> None:
    made = planner(registry, arms=[{"name": "oracle", "data": "by-label"}], seeds=[0])
    assert [arm.name for arm in made.arms] == ["full", "filtered", "oracle", "random-matched", "ta-only"]
    alone = planner(registry, arms=[{"name": "oracle", "data": "by-label"}], controls=False, against=[])
    assert [arm.name for arm in alone.arms] == ["oracle"]


def test_every_seed_takes_a_draw_in_turn(registry: Registry) -> None:
    made = plan(planner(registry, seeds=[5, 6, 7, 8], random_draws=3, prompts=10))
    random = [(run.seed, run.condition.name) for run in made.runs if run.key.startswith("random")]
    assert random == [(5, "random-matched-0"), (6, "random-matched-1"), (7, "random-matched-2"), (8, "random-matched-0")]


def test_fewer_seeds_than_draws_take_several(registry: Registry) -> None:
    made = plan(planner(registry, seeds=[0, 1], random_draws=3, prompts=10))
    random = [(use.seed, use.run.condition.name) for use in made.uses if use.arm == "random-matched"]
    assert random == [(0, "random-matched-0"), (1, "random-matched-1"), (0, "random-matched-2")]


def test_draws_differ_and_control_the_filter(registry: Registry) -> None:
    made = planner(registry, random_draws=2)
    policies = {each.name: [policy.name for policy in made.filters(each)] for each in made.conditions()}
    assert policies["random-matched-1"] == ["drop-answerable", "random-matched"]
    assert policies["ta-only"] == ["drop-answerable", "ta-only"]
    assert policies["full"] == []
    draws = [made.filters(each)[1].config.seed for each in made.conditions() if each.name.startswith("random")]
    assert draws == [0, 1]


def test_equal_prompts_for_every_arm(registry: Registry) -> None:
    assert {run.prompts for run in plan(planner(registry, prompts=64)).runs} == {64}
    assert {run.prompts for run in plan(planner(registry)).runs} == {100}


def test_equal_vg_prompts_are_those_that_full_meets(registry: Registry) -> None:
    """full: 60 % grounded, so 600 of 1,000; a condition that is all grounded needs 600 prompts, one at 30 % needs 2,000."""
    made = planner(registry, prompts=1000, budgets=["vg-prompts"], seeds=[0], random_draws=1)
    found = plan(made, filtered=(40, 40), random_matched_0=(40, 12), ta_only=(60, 0))
    prompts = {use.arm: use.run.prompts for use in found.uses}
    assert prompts == {"full": 1000, "filtered": 600, "random-matched": 2000}
    assert found.notes == ("arm 'ta-only' is not trained under the budget vg-prompts: it has no grounded question",)


def test_what_two_budgets_or_arms_share_is_one_run(registry: Registry) -> None:
    arms = [
        {"name": "same", "data": "full"},
        {"name": "written-out", "data": "full", "trainer": {"lr": 0.1}},
        {"name": "other", "trainer": {"lr": 1}},
    ]
    made = plan(planner(registry, arms=arms, prompts=10, budgets=["prompts", "vg-prompts"], seeds=[0]), grounded=0.6)
    assert keys(made) == ["full-10p-s0", "filtered-10p-s0", "other-10p-s0", "random-matched-10p-s0-d0", "random-matched-10p-s0-d1",
                          "random-matched-10p-s0-d2", "ta-only-10p-s0"]  # fmt: skip
    assert {use.arm for use in made.uses if use.run.key == "full-10p-s0"} == {"full", "same", "written-out"}


def test_conditions_with_the_same_questions_are_trained_once(registry: Registry) -> None:
    made = planner(registry, arms=[{"name": "oracle", "data": "by-label"}], prompts=10, seeds=[0, 1], random_draws=1)
    sizes = {each.name: Size(40, 20, digest=each.name.replace("oracle", "filtered")) for each in made.conditions()}
    found = made.plan(sizes | {FULL: Size(100, 60, digest="all")})
    assert [use.run.key for use in found.uses if use.arm == "oracle"] == ["filtered-10p-s0", "filtered-10p-s1"]
    assert found.notes == ("arm 'oracle': oracle keeps the questions of filtered: trained once",)


def test_before_sizes_are_known_each_budget_is_counted(registry: Registry) -> None:
    """The grounded share of a condition that is not made yet is not that of full: its runs under the two budgets are not the same."""
    made = planner(registry, prompts=10, budgets=["prompts", "vg-prompts"], seeds=[0], random_draws=1)
    found = made.plan({FULL: Size(100, 100)} | {each.name: Size(100, 100, known=False) for each in made.conditions() if each.policies})
    arms = [("filtered", ""), ("random-matched", "-d0"), ("ta-only", "")]
    assert keys(found) == ["full-10p-s0", *(key for arm, draw in arms for key in (f"{arm}-10p-s0{draw}", f"{arm}-vg-prompts-s0"))]


def test_an_arm_may_have_fewer_seeds(registry: Registry) -> None:
    made = plan(planner(registry, arms=[{"name": "dear", "trainer": {"lr": 1}, "seeds": [2, 0]}], seeds=[0, 1, 2], prompts=10, controls=False,
                        against=[]))  # fmt: skip
    assert keys(made) == ["dear-10p-s2", "dear-10p-s0"]


def test_an_arm_takes_another_arms_checkpoint_of_the_same_seed(registry: Registry) -> None:
    """It is trained after it, whatever the order of the file; the budget is the first, so that both budgets can share runs."""
    arms = [{"name": "repelled", "data": "full", "trainer": {"reference": "arm:ta-only"}}, {"name": "ta-only", "data": "ta-only"}]
    made = plan(planner(registry, arms=arms, seeds=[3, 4], budgets=["prompts", "vg-prompts"], prompts=10, controls=False, against=[]),
                grounded=0.6)  # fmt: skip
    assert keys(made) == ["ta-only-10p-s3", "ta-only-10p-s4", "repelled-10p-s3", "repelled-10p-s4"]
    assert [run.needs for run in made.runs[2:]] == [{"reference": "ta-only-10p-s3"}, {"reference": "ta-only-10p-s4"}]


def test_an_arm_whose_needed_arm_is_not_trained_is_said(registry: Registry) -> None:
    arms = [{"name": "repelled", "trainer": {"reference": "arm:ta-only"}}]
    made = plan(planner(registry, arms=arms, seeds=[0], prompts=10), ta_only=(0, 0))
    assert "arm 'repelled' is not trained: trainer.reference needs the arm 'ta-only', which is not trained" in made.notes
    assert "repelled" not in {use.arm for use in made.uses}


def test_an_empty_condition_is_said_and_not_trained(registry: Registry) -> None:
    made = plan(planner(registry, seeds=[0], prompts=10), ta_only=(0, 0))
    assert made.notes == ("arm 'ta-only' is not trained: its data condition keeps no question",)
    assert "ta-only" not in {use.arm for use in made.uses}


@pytest.mark.parametrize(
    ("ablation", "text"),
    [
        ({"arms": [], "controls": False}, "no arm to train: name arms in the section ablation, or leave controls on"),
        ({"against": ["ful"]}, "ablation.against names 'ful', which is no arm; did you mean 'full'?"),
        ({"arms": [{"name": "a b"}]}, "name = 'a b': an arm's name is a folder's name too"),
        ({"arms": [{"name": "x"}, {"name": "x"}]}, "the arm 'x' is there twice"),
        ({"seeds": [1, 1]}, "the seed 1 is there twice"),
        ({"seeds": []}, "at least 1 item"),
        ({"grounded": "vg"}, "grounded = 'vg': expected filtered, or TAG=VALUE such as label=vg"),
        ({"parallel": 2, "devices": ["0"]}, "parallel = 2 with devices for 1 lanes; name the devices of each lane"),
        ({"arms": [{"name": "x", "data": 5}]}, "arm 'x': data = 5: expected full, filtered, random-matched, ta-only, a policy"),
        ({"arms": [{"name": "x", "data": "fulll"}]}, "unknown filter 'fulll'"),
        ({"arms": [{"name": "x", "seeds": [0, 7]}]}, "arm 'x': seed 7 is none of the study's, 0, 1, 2"),
        (
            {"arms": [{"name": "x", "trainer": {"reference": "arm:ta-onyl"}}]},
            "arm 'x': trainer.reference names the arm 'ta-onyl', which is none; did you mean 'ta-only'?",
        ),
        (
            {"arms": [{"name": "x", "trainer": {"reference": "arm:y"}}, {"name": "y", "trainer": {"reference": "arm:x"}}]},
            "the arms x → y → x wait for each other's checkpoints",
        ),
        (
            {"arms": [{"name": "x", "trainer": {"reference": "arm:y"}}, {"name": "y", "seeds": [1]}]},
            "arm 'x': trainer.reference needs the arm 'y' with seed 0, which it has not",
        ),
        ({"arms": [{"name": "x", "trainer": {"lrr": 1}}]}, "unknown option 'lrr'; did you mean 'lr'?"),
        ({"arms": [{"name": "x", "trainer": {"prompts": 1}}]}, "trainer.prompts is the arms' common budget; set ablation.prompts instead"),
        (
            {"arms": [{"name": "x", "trainer": {"name": "uncounted"}}]},
            "the trainer 'uncounted' has no option prompts, so no budget can be held",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_starts(registry: Registry, ablation: dict[str, Any], text: str) -> None:
    with pytest.raises(VidGroundError) as refused:
        planner(registry, **ablation)
    assert text in str(refused.value)


def test_an_arm_without_a_trainer_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"arm 'full' has no trainer: set trainer for all arms, or trainer\.name for this one"):
        planner(registry, trainer="")
