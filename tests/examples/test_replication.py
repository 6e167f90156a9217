"""The configs of the replication: what they train, and that all are evaluated on the same questions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vidground_core.datasets.planted.loader import SPLITS, PlantedLoader
from vidground_core.experiments.ablation_checks import evaluation_settings
from vidground_core.experiments.ablation_plan import Planner
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.settings import passed_settings, resolve_settings
from vidground_core.filters.by_label import ByLabel
from vidground_core.plugins import Registry, load_registry
from vidground_core.records import Question

FOLDER = Path(__file__).parents[2] / "examples" / "replication"
NAMES = ("replication", "replication-small", "ta-share", "false-drops")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def assembly(registry: Registry, name: str) -> Assembly:
    return Assembly(resolve_settings(passed_settings(FOLDER / f"{name}.yaml", {}, []), registry), registry)


def questions(loader: Any, split: str) -> list[Question]:
    """Without writing a video."""
    assert isinstance(loader, PlantedLoader)
    return [question for number in range(loader.config.size or SPLITS[split]) for question in loader.video(number)[1]]


def kept(built: Assembly, arm: str) -> Counter[str]:
    """Labels of what an arm by labels keeps of its pool."""
    pool = questions(built.dataset().loader, "train")
    (settings,) = [each.data for each in built.settings.ablation.arms if each.name == arm]
    policy = ByLabel(ByLabel.Config(**{key: value for key, value in settings.items() if key != "name"}))
    return Counter(question.tags["label"] for question in pool if policy.decide_row(question, {}).kept)


@pytest.mark.parametrize("name", NAMES)
def test_every_study_can_be_planned_and_has_the_same_evaluation(registry: Registry, name: str) -> None:
    built, main = assembly(registry, name), assembly(registry, "replication")
    Planner(built)
    assert built.settings.eval == main.settings.eval
    assert built.settings.model == main.settings.model
    for spec in main.settings.eval.benchmarks:
        split = spec.partition(":")[2]
        own, other = (Assembly(evaluation_settings(each.settings), registry).dataset(spec).loader for each in (built, main))
        assert questions(own, split) == questions(other, split)


def test_the_study_has_the_arms_and_seeds_that_it_promises(registry: Registry) -> None:
    settings = assembly(registry, "replication").settings.ablation
    names = [arm.name for arm in settings.all_arms()]
    grpo = ["full", "filtered", "consensus", "guess-corrected", "random-matched", "ta-only", "oracle"]
    methods = {"dapo", "dr-grpo", "gspo", "t-grpo", "tw-grpo", "cdpo", "dpo"}
    assert names[:9] == [*grpo, "sft-full", "sft-filtered"]
    assert set(names[9:]) == methods
    assert len(settings.seeds) >= 5
    assert {(arm.data, len(arm.seeds or settings.seeds)) for arm in settings.arms if arm.name in methods} == {("full", 3)}
    assert settings.budgets == ("prompts", "vg-prompts")
    assert 3000 <= settings.prompts <= 5000
    assert settings.random_draws >= 3


def test_shares_of_ta_are_those_of_the_sweep(registry: Registry) -> None:
    built = assembly(registry, "ta-share")
    pool = Counter(question.tags["label"] for question in questions(built.dataset().loader, "train"))
    assert pool["ta"] / pool.total() == pytest.approx(0.5, abs=0.01)
    for arm, share in (("oracle", 0.0), ("ta-10", 0.1), ("ta-30", 0.3)):
        found = kept(built, arm)
        assert found["vg"] == pool["vg"]
        assert found["ta"] / found.total() == pytest.approx(share, abs=0.001)


def test_false_drops_are_those_of_the_sweep(registry: Registry) -> None:
    built = assembly(registry, "false-drops")
    whole = kept(built, "oracle")
    for arm, share in (("drops-10", 0.1), ("drops-20", 0.2), ("drops-40", 0.4)):
        found = kept(built, arm)
        assert set(found) == {"vg"}
        assert 1 - found["vg"] / whole["vg"] == pytest.approx(share, abs=0.01)
