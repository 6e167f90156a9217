"""What an ablation will do: data conditions, and one run for each arm, budget, seed and random draw; equal runs are one run.

Pure: everything here follows from the settings and the sizes of the data conditions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vidground_core.errors import ConfigError, nearest
from vidground_core.experiments.ablation_links import in_order, links
from vidground_core.experiments.ablation_settings import ArmSettings, Budget
from vidground_core.experiments.assembly import Assembly, described
from vidground_core.filters.base import Filter
from vidground_core.trainers.base import Trainer

FULL, FILTERED, RANDOM, TA_ONLY = "full", "filtered", "random-matched", "ta-only"


@dataclass(frozen=True)
class Condition:
    """A data condition: the chain of `policies` that makes it; none for the full set."""

    name: str
    policies: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Size:
    """Questions of a condition, and how many of them are grounded. `digest` tells which they are; empty where that is not known.

    Not `known`, because the condition is not made yet: the numbers are those of the data set.
    """

    questions: int
    grounded: int
    digest: str = ""
    known: bool = True

    @property
    def share(self) -> float:
        """Share of grounded questions, 0..1."""
        return self.grounded / self.questions if self.questions else 0.0


@dataclass(frozen=True)
class Run:
    """One training and its evaluation. `key` names its folders; several arms and budgets may use it.

    `needs` are options of the trainer whose value is the checkpoint of another run, by that run's key.
    """

    key: str
    condition: Condition
    trainer: Mapping[str, Any]
    seed: int
    prompts: int
    needs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Use:
    """That a run is the one of an arm, under a budget, with a seed; random-matched has several a seed where it draws more often."""

    arm: str
    budget: Budget
    seed: int
    run: Run


@dataclass(frozen=True)
class Plan:
    """`runs` in the order of their worth, each after those it needs, `uses` of them, and why some arms have no run under a budget."""

    runs: tuple[Run, ...]
    uses: tuple[Use, ...]
    notes: tuple[str, ...] = ()


class Planner:
    """Turns settings into conditions and, once their sizes are known, into runs.

    Raises ConfigError where no trainer or model is named, the trainer has no number of prompts to set, or an arm cannot be built.
    """

    def __init__(self, assembly: Assembly) -> None:
        self.assembly, self.settings = assembly, assembly.settings.ablation
        self.arms = self.settings.all_arms()
        if not self.arms:
            raise ConfigError("no arm to train: name arms in the section ablation, or leave controls on")
        self._check_against()
        self._conditions = {arm.name: self._of_arm(arm) for arm in self.arms}
        self._trainers = {arm.name: self._trainer(arm) for arm in self.arms}
        self._ordered = in_order(self.arms, self._trainers, self.settings.seeds)
        for condition in self.conditions():
            self.filters(condition)

    def _check_against(self) -> None:
        names = [arm.name for arm in self.arms]
        for name in self.settings.against:
            if name not in names:
                raise ConfigError(f"ablation.against names {name!r}, which is no arm; {nearest(name, names)}")

    def conditions(self) -> list[Condition]:
        """All data conditions to make, each once; the run's filter is among them where it says which questions are grounded."""
        chosen = [condition for conditions in self._conditions.values() for condition in conditions]
        if "vg-prompts" in self.settings.budgets and self.settings.grounded == FILTERED:
            chosen.append(self._filtered())
        return list({condition.name: condition for condition in chosen}.values())

    def filters(self, condition: Condition) -> list[Filter[Any]]:
        """The policies of a condition, built."""
        if not condition.policies:
            return []
        settings = self.assembly.settings.model_copy(update={"filter": tuple(dict(policy) for policy in condition.policies)})
        return Assembly(settings, self.assembly.registry).filters()

    def _filtered(self) -> Condition:
        chain = self.assembly.settings.filter
        return Condition(FILTERED, tuple(chain) if not isinstance(chain, Mapping) else (chain,))

    def _of_arm(self, arm: ArmSettings) -> tuple[Condition, ...]:
        """An arm's data condition; random-matched has one for each draw."""
        if arm.data == FULL:
            return (Condition(FULL),)
        filtered = self._filtered()
        if arm.data == FILTERED:
            return (filtered,)
        if arm.data == TA_ONLY:
            return (Condition(TA_ONLY, (*filtered.policies, {"name": TA_ONLY})),)
        if arm.data == RANDOM:
            draws = range(self.settings.random_draws)
            return tuple(Condition(f"{RANDOM}-{draw}", (*filtered.policies, {"name": RANDOM, "seed": draw})) for draw in draws)
        policies = arm.data if isinstance(arm.data, list) else [arm.data]
        if not policies or not all(isinstance(policy, Mapping) and policy.get("name") for policy in policies):
            raise ConfigError(
                f"arm {arm.name!r}: data = {arm.data!r}: expected full, filtered, random-matched, ta-only, a policy, or a list of policies"
            )
        return (Condition(arm.name, tuple(policies)),)

    def _trainer(self, arm: ArmSettings) -> Mapping[str, Any]:
        base = dict(self.assembly.settings.trainer)
        other = arm.trainer.get("name", base.get("name")) != base.get("name")
        options = dict(arm.trainer) if other else {**base, **arm.trainer}
        if not options.get("name"):
            raise ConfigError(f"arm {arm.name!r} has no trainer: set trainer for all arms, or trainer.name for this one")
        cls = self.assembly.registry.get("trainer", str(options["name"]))
        if "prompts" not in cls.Config.model_fields:
            raise ConfigError(f"arm {arm.name!r}: the trainer {cls.name!r} has no option prompts, so no budget can be held with it")
        if "prompts" in arm.trainer:
            raise ConfigError(f"arm {arm.name!r}: trainer.prompts is the arms' common budget; set ablation.prompts instead")
        self.trainer(options, seed=0)
        return options

    def trainer(self, options: Mapping[str, Any], *, seed: int) -> Trainer[Any]:
        """A trainer with these options, built."""
        settings = self.assembly.settings.model_copy(update={"trainer": dict(options), "seed": seed})
        built = Assembly(settings, self.assembly.registry).trainer()
        assert built is not None  # noqa: S101 - `_trainer` has refused options without a name
        return built

    def plan(self, sizes: Mapping[str, Size]) -> Plan:
        """The runs, given the size of each condition by name."""
        runs: dict[str, Run] = {}
        uses: list[Use] = []
        notes: list[str] = []
        for arm in self._ordered:
            for budget in self.settings.budgets:
                for condition, seed in self._drawn(arm):
                    prompts = self._prompts(arm, budget, condition, sizes)
                    needs = self._needs(arm, seed, uses)
                    if isinstance(prompts, str) or isinstance(needs, str):
                        notes.append(prompts if isinstance(prompts, str) else str(needs))
                        continue
                    run = self._run(arm, condition, seed, prompts, needs)
                    signature = self._signature(run, sizes[condition.name])
                    if budget == "vg-prompts" and not sizes[condition.name].known:
                        # Not as many prompts as under the other budget, though nobody knows yet how many.
                        run, signature = replace(run, key=f"{arm.name}-vg-prompts-s{seed}"), f"{signature} vg-prompts"
                    shared = runs.setdefault(signature, run)
                    if shared.condition != condition:
                        notes.append(f"arm {arm.name!r}: {condition.name} keeps the questions of {shared.condition.name}: trained once")
                    uses.append(Use(arm.name, budget, seed, shared))
        return Plan(tuple(runs.values()), tuple(uses), tuple(dict.fromkeys(notes)))

    def _drawn(self, arm: ArmSettings) -> Iterator[tuple[Condition, int]]:
        """Each seed with the conditions it is trained on: with fewer seeds than draws, a seed takes several."""
        conditions, seeds = self._conditions[arm.name], arm.seeds or self.settings.seeds
        for index in range(max(len(conditions), len(seeds))):
            yield conditions[index % len(conditions)], seeds[index % len(seeds)]

    def _prompts(self, arm: ArmSettings, budget: Budget, condition: Condition, sizes: Mapping[str, Size]) -> int | str:
        size, full = sizes[condition.name], sizes[FULL]
        if not size.questions:
            return f"arm {arm.name!r} is not trained: its data condition keeps no question"
        prompts = self.settings.prompts or full.questions
        if budget == "prompts":
            return prompts
        if not size.grounded:
            return f"arm {arm.name!r} is not trained under the budget vg-prompts: it has no grounded question"
        return max(1, round(prompts * full.share / size.share))

    def _needs(self, arm: ArmSettings, seed: int, uses: Sequence[Use]) -> dict[str, str] | str:
        """The runs whose checkpoints this arm's trainer is given, by option; a sentence where one of them is not trained."""
        found = {}
        for option, name in links(self._trainers[arm.name]).items():
            trained = runs_of(uses, name, self.settings.budgets[0]).get(seed)
            if not trained:
                return f"arm {arm.name!r} is not trained: trainer.{option} needs the arm {name!r}, which is not trained"
            found[option] = trained[0].key
        return found

    def _run(self, arm: ArmSettings, condition: Condition, seed: int, prompts: int, needs: Mapping[str, str]) -> Run:
        draw = condition.name.removeprefix(f"{RANDOM}-") if condition.name.startswith(f"{RANDOM}-") else ""
        key = f"{arm.name}-{prompts}p-s{seed}" + (f"-d{draw}" if draw else "")
        return Run(key, condition, {**self._trainers[arm.name], "prompts": prompts}, seed, prompts, needs)

    def _signature(self, run: Run, size: Size) -> str:
        """What makes two runs one: the questions in their order (or the policies, where they are not known), the trainer, and the seed."""
        data = size.digest or [described(policy) for policy in self.filters(run.condition)]
        return json.dumps([data, described(self.trainer(run.trainer, seed=run.seed)), run.seed], sort_keys=True)


def runs_of(uses: Sequence[Use], arm: str, budget: Budget) -> dict[int, list[Run]]:
    """The runs of an arm under a budget, by seed."""
    found: dict[int, list[Run]] = {}
    for use in uses:
        if (use.arm, use.budget) == (arm, budget):
            found.setdefault(use.seed, []).append(use.run)
    return found
