"""From the answers of every run to arms with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidground_core.evaluation.scoring import can_score
from vidground_core.evaluation.statistics import LEVEL
from vidground_core.evaluation.statistics_arms import Cell, Difference, Estimate, arm_difference, arm_estimate, holm
from vidground_core.experiments.ablation_plan import Plan, Planner, Run, Size, runs_of
from vidground_core.experiments.ablation_settings import Budget
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


def collect(planner: Planner, plan: Plan, sizes: Mapping[str, Size], out: Path) -> dict[str, Any]:
    """The object of `vg ablate --json`, from whatever runs are finished. Accuracies in 0..1, differences in points (percentage points).

    Under `differences`, `p` is that of the hierarchical bootstrap and `p_adjusted` the same after Holm over all arms compared with the
    same arm in the same place under the same budget.
    """
    own = planner.settings
    rule = split_rule(Path(own.verdicts) if own.verdicts else None, own.judge)
    answers = _Answers(planner, rule, out)
    arms = list(_arms(planner, plan, answers))
    shown = [_arm_json(planner, arm, sizes, out) for arm in arms]
    if answers.finished(START):
        start = _Arm(START, "", {}, answers.sheet([[START]]))
        shown.insert(0, {"name": START, "budget": "", "seeds": [], "runs": [], **_accuracies(start.sheet)})
    missing = sorted({run.key for run in plan.runs if not answers.finished(run.key)})
    return {
        "out": str(out),
        "protocol": _protocol(planner),
        "data": [{"name": name, "questions": size.questions, "grounded": size.grounded or None} for name, size in sizes.items()],
        "arms": shown,
        "differences": [each for budget in own.budgets for each in _differences(arms, budget, own.against)],
        "missing_runs": missing,
        "notes": list(plan.notes),
    }


def _protocol(planner: Planner) -> dict[str, Any]:
    settings = planner.assembly.settings
    own = settings.ablation
    return {
        "model": settings.model,
        "seeds": list(own.seeds),
        "budgets": list(own.budgets),
        "grounded": own.grounded,
        "eval": settings.eval.model_dump(mode="json"),
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
            same = [place for place in sheet if (place.frames, place.split) == (frames, split)]
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


def _arm_json(planner: Planner, arm: _Arm, sizes: Mapping[str, Size], out: Path) -> dict[str, Any]:
    runs = [run for found in arm.runs.values() for run in found]
    records = [read_record(out / "train" / run.key)["result"] for run in runs]
    conditions = list(dict.fromkeys(run.condition.name for run in runs))
    return {
        "name": arm.name,
        "budget": arm.budget,
        "data": conditions,
        "questions": [sizes[name].questions for name in conditions],
        "trainer": dict(runs[0].trainer),
        "seeds": list(arm.runs),
        "runs": [run.key for run in runs],
        "prompts": [record["prompts"] for record in records],
        "tokens": [record["tokens"] for record in records],
        **_accuracies(arm.sheet),
    }


def _accuracies(sheet: Sheet) -> dict[str, Any]:
    """`places` one each; `splits` those that stand for the arm: the mean over benchmarks, or the only benchmark, at the first frames."""
    places = [{**_place(place), **_estimate(arm_estimate(cells))} for place, cells in sheet.items()]
    splits: dict[str, Any] = {}
    for place in sorted(places, key=lambda each: each["benchmark"] != MEAN):
        if place["frames"] == places[0]["frames"]:
            splits.setdefault(place["split"], place)
    order = list(dict.fromkeys(place["split"] for place in places))
    return {"splits": {name: splits[name] for name in order if name in splits}, "places": places}


def _place(place: Place) -> dict[str, Any]:
    return {"benchmark": place.benchmark, "frames": place.frames, "split": place.split}


def _estimate(found: Estimate, scale: float = 1.0) -> dict[str, Any]:
    deviation = None if found.deviation is None else found.deviation * scale
    sizes = {"n": found.questions, "groups": found.groups, "seeds": found.seeds}
    value = {"accuracy": found.value, "interval": found.interval} if scale == 1 else {}
    return {**value, **sizes, "error": found.error * scale, "deviation": deviation}


def _differences(arms: Sequence[_Arm], budget: Budget, against: Sequence[str]) -> Iterator[dict[str, Any]]:
    there = {arm.name: arm for arm in arms if arm.budget == budget}
    for name in against:
        if name not in there:
            continue
        # One comparison a pair: filtered against full is not said again as full against filtered.
        done = against[: list(against).index(name)]
        # Of an unfinished ablation some arms may have no seed in common yet.
        others = [arm for other, arm in there.items() if other != name and other not in done and arm.runs.keys() & there[name].runs.keys()]
        for place in there[name].sheet:
            found = [(arm, _paired(arm, there[name], place, count=len(others))) for arm in others]
            adjusted = holm([each.p for _, each in found])
            for (arm, each), p in zip(found, adjusted, strict=True):
                yield {"arm": arm.name, "against": name, "budget": budget, **_place(place), **_difference_json(each, p)}


def _paired(first: _Arm, second: _Arm, place: Place, *, count: int) -> Difference:
    """On the seeds that both have; at least one."""
    common = [seed for seed in first.runs if seed in second.runs]
    cells = [[_of_seeds(arm, cell, common) for cell in arm.sheet[place]] for arm in (first, second)]
    return arm_difference(cells[0], cells[1], level=(1 - LEVEL) / count)


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
        "detectable": None if found.detectable is None else 100 * found.detectable,
    }
