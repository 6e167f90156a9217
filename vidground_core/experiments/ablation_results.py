"""From the answers of every run to arms with intervals, paired differences, and what they show in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidground_core.evaluation.scoring import can_score
from vidground_core.evaluation.statistics import LEVEL
from vidground_core.evaluation.statistics_arms import Cell, Difference, Estimate, Resampling, arm_difference, arm_estimate, holm
from vidground_core.experiments.ablation_plan import Plan, Planner, Run, Size, runs_of
from vidground_core.experiments.ablation_settings import Budget
from vidground_core.experiments.ablation_verdict import verdicts
from vidground_core.experiments.benchmarks import read_answers
from vidground_core.experiments.splits import FULL, SplitRule, split_rule
from vidground_core.runs.directory import read_record

START, MEAN = "start", "mean"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an accuracy is measured: a split of a benchmark at a number of frames; "mean" is the plain mean over the benchmarks."""

    benchmark: str
    frames: int
    split: str


Sheet = dict[Place, list[Cell]]


@dataclass(frozen=True)
class _Arm:
    """An arm under a budget with its finished runs by seed."""

    name: str
    budget: Budget | str
    runs: Mapping[int, Sequence[Run]]
    sheet: Sheet

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of its runs, in order of seeds."""
        return tuple(run.key for found in self.runs.values() for run in found)


class Collector:
    """The results of a study from whatever runs are finished; called again later, it computes only what is new."""

    def __init__(self, planner: Planner, plan: Plan, sizes: Mapping[str, Size], out: Path) -> None:
        own = planner.settings
        self.planner, self.plan, self.sizes, self.out = planner, plan, sizes, out
        self._answers = _Answers(planner, split_rule(own.verdict_folders, own.judge, own.ta_when), out)
        self._resampling = Resampling()
        self._places: dict[tuple[Place, tuple[str, ...]], dict[str, Any]] = {}
        self._pairs: dict[tuple[Any, ...], Difference] = {}

    def result(self) -> dict[str, Any]:
        """The object of `vg ablate --json`. Accuracies in 0..1, differences in points (percentage points).

        Under `differences`, `p` is that of the hierarchical bootstrap and `p_adjusted` the same after Holm over all arms compared with the
        same arm in the same place under the same budget.
        """
        own = self.planner.settings
        arms = list(_arms(self.planner, self.plan, self._answers))
        shown = [self._arm_json(arm) for arm in arms]
        if self._answers.finished(START):
            sheet = self._answers.sheet([[START]])
            shown.insert(0, {"name": START, "budget": "", "seeds": [], "runs": [], **self._accuracies(sheet, (START,))})
        result: dict[str, Any] = {
            "out": str(self.out),
            "protocol": _protocol(self.planner),
            "data": [{"name": name, "questions": size.questions, "grounded": size.grounded or None} for name, size in self.sizes.items()],
            "arms": shown,
            "differences": [each for budget in own.budgets for each in self._differences(arms, budget, own.against)],
            "missing_runs": sorted({run.key for run in self.plan.runs if not self._answers.finished(run.key)}),
            "notes": list(self.plan.notes),
        }
        return result | {"verdicts": verdicts(result)}

    def _arm_json(self, arm: _Arm) -> dict[str, Any]:
        runs = [run for found in arm.runs.values() for run in found]
        records = [read_record(self.out / "train" / run.key)["result"] for run in runs]
        conditions = list(dict.fromkeys(run.condition.name for run in runs))
        return {
            "name": arm.name,
            "budget": arm.budget,
            "data": conditions,
            "questions": [self.sizes[name].questions for name in conditions],
            "trainer": dict(runs[0].trainer),
            "seeds": list(arm.runs),
            "runs": [run.key for run in runs],
            "prompts": [record["prompts"] for record in records],
            "tokens": [record["tokens"] for record in records],
            **self._accuracies(arm.sheet, arm.keys),
        }

    def _accuracies(self, sheet: Sheet, keys: tuple[str, ...]) -> dict[str, Any]:
        """`places` one each; `splits` those that stand for the arm at the first frames: the mean over benchmarks, or the first one."""
        places = [self._measured(place, cells, keys) for place, cells in sheet.items()]
        splits: dict[str, Any] = {}
        counted = self.planner.settings.mean
        for place in sorted(places, key=lambda each: (each["benchmark"] != MEAN, bool(counted) and each["benchmark"] not in counted)):
            if place["frames"] == places[0]["frames"]:
                splits.setdefault(place["split"], place)
        order = list(dict.fromkeys(place["split"] for place in places))
        return {"splits": {name: splits[name] for name in order if name in splits}, "places": places}

    def _measured(self, place: Place, cells: list[Cell], keys: tuple[str, ...]) -> dict[str, Any]:
        if (place, keys) not in self._places:
            by_seed = np.mean([cell.accuracies for cell in cells], axis=0).tolist()
            estimate = arm_estimate(cells, resampling=self._resampling)
            self._places[place, keys] = {**_place(place), **_estimate(estimate), "by_seed": by_seed}
        return self._places[place, keys]

    def _differences(self, arms: Sequence[_Arm], budget: Budget, against: Sequence[str]) -> Iterator[dict[str, Any]]:
        there = {arm.name: arm for arm in arms if arm.budget == budget}
        for name in against:
            if name not in there:
                continue
            # One comparison a pair: filtered against full is not said again as full against filtered.
            done = against[: list(against).index(name)]
            # Of an unfinished ablation some arms may have no seed in common yet.
            others = [a for other, a in there.items() if other != name and other not in done and a.runs.keys() & there[name].runs.keys()]
            for place in there[name].sheet:
                # Arms that are the same runs are one comparison, or none.
                count = len({arm.keys for arm in others} - {there[name].keys}) or 1
                found = {arm.name: self._paired(arm, there[name], place, count=count) for arm in others}
                ps = {arm.keys: found[arm.name].p for arm in others if arm.keys != there[name].keys}
                adjusted = dict(zip(ps, holm(list(ps.values())), strict=True))
                for arm in others:
                    numbers = _difference_json(found[arm.name], adjusted.get(arm.keys, 1.0))
                    yield {"arm": arm.name, "against": name, "budget": budget, **_place(place), **numbers}

    def _paired(self, first: _Arm, second: _Arm, place: Place, *, count: int) -> Difference:
        """On the seeds that both have; at least one."""
        key = (place, first.keys, second.keys, count)
        if key not in self._pairs:
            common = [seed for seed in first.runs if seed in second.runs]
            cells = [[_of_seeds(arm, cell, common) for cell in arm.sheet[place]] for arm in (first, second)]
            self._pairs[key] = arm_difference(cells[0], cells[1], level=(1 - LEVEL) / count, resampling=self._resampling)
        return self._pairs[key]


def _protocol(planner: Planner) -> dict[str, Any]:
    settings = planner.assembly.settings
    own = settings.ablation
    return {
        "model": settings.model,
        "seeds": list(own.seeds),
        "budgets": list(own.budgets),
        "grounded": own.grounded,
        "eval": settings.eval.model_dump(mode="json"),
        "arms": [arm.name for arm in planner.arms],
        "interval": f"{100 * LEVEL:.0f} % hierarchical bootstrap over seeds and videos",
        "checkpoint": "the last one of each training",
    }


class _Answers:
    """Right and wrong of every run, read once."""

    def __init__(self, planner: Planner, rule: SplitRule, out: Path) -> None:
        self._out, self._rule = out, rule
        chosen = planner.assembly.settings.eval
        self._places = [(spec, frames) for frames in chosen.frames for spec in chosen.benchmarks]
        self._splits = chosen.splits
        self._mean = planner.settings.mean or tuple(chosen.benchmarks)
        self._read: dict[str, dict[Place, tuple[list[float], list[str]]]] = {}

    def finished(self, key: str) -> bool:
        folder = self._out / "eval" / key
        return (folder / "run.json").exists() and read_record(folder)["status"] == "done"

    def sheet(self, keys: Sequence[Sequence[str]]) -> Sheet:
        """The cells of every place; `keys` holds the runs of each seed, whose answers are averaged question by question."""
        by_seed = [[self._of(key) for key in one] for one in keys]
        sheet: Sheet = {}
        for place in by_seed[0][0]:
            right = [np.mean([run[place][0] for run in seed], axis=0) for seed in by_seed]
            sheet[place] = [Cell.of(right, by_seed[0][0][place][1])]
        for frames, split in dict.fromkeys((place.frames, place.split) for place in sheet):
            same = [place for place in sheet if (place.frames, place.split) == (frames, split) and place.benchmark in self._mean]
            if len(same) > 1:
                sheet[Place(MEAN, frames, split)] = [cell for place in same for cell in sheet[place]]
        return sheet

    def _of(self, key: str) -> dict[Place, tuple[list[float], list[str]]]:
        if key not in self._read:
            found: dict[Place, tuple[list[float], list[str]]] = {}
            for spec, frames in self._places:
                for question, verdict in read_answers(self._out / "eval" / key, spec, frames):
                    if not can_score(question):
                        continue
                    for split in dict.fromkeys((FULL, self._rule.of(question))):
                        if split in self._splits:
                            right, groups = found.setdefault(Place(spec, frames, split), ([], []))
                            right.append(float(verdict.answered is True))
                            groups.append(question.group or question.id)
            self._read[key] = found
        return self._read[key]


def _arms(planner: Planner, plan: Plan, answers: _Answers) -> Iterator[_Arm]:
    """Every arm under every budget of which at least one seed is finished."""
    for arm in planner.arms:
        for budget in planner.settings.budgets:
            runs = {
                seed: found for seed, found in runs_of(plan.uses, arm.name, budget).items() if all(answers.finished(r.key) for r in found)
            }
            if runs:
                yield _Arm(arm.name, budget, runs, answers.sheet([[run.key for run in found] for found in runs.values()]))


def _place(place: Place) -> dict[str, Any]:
    return {"benchmark": place.benchmark, "frames": place.frames, "split": place.split}


def _estimate(found: Estimate, scale: float = 1.0) -> dict[str, Any]:
    deviation = None if found.deviation is None else found.deviation * scale
    sizes = {"n": found.questions, "groups": found.groups, "seeds": found.seeds}
    value = {"accuracy": found.value, "interval": found.interval} if scale == 1 else {}
    return {**value, **sizes, "error": found.error * scale, "deviation": deviation}


def _of_seeds(arm: _Arm, cell: Cell, seeds: Sequence[int]) -> Cell:
    order = list(arm.runs)
    return Cell(cell.right[[order.index(seed) for seed in seeds]], cell.groups)


def _difference_json(found: Difference, adjusted: float) -> dict[str, Any]:
    estimate = found.estimate
    return {
        "points": 100 * estimate.value,
        "interval": [100 * estimate.low, 100 * estimate.high],
        **_estimate(estimate, scale=100),
        "p": found.p,
        "p_adjusted": adjusted,
        "p_seeds": found.p_seeds,
        "gained": found.gained,
        "lost": found.lost,
        "mcnemar": found.mcnemar,
        "mcnemar_by_seed": list(found.mcnemar_by_seed),
        "detectable": None if found.detectable is None else 100 * found.detectable,
    }
