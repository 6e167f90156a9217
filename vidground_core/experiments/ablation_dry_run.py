"""vg ablate --dry-run: what would be trained, and what it costs as far as that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidground_core.experiments.ablation import sizes_of
from vidground_core.experiments.ablation_checks import check_ablation
from vidground_core.experiments.ablation_lanes import TIMES, data_folder, is_finished
from vidground_core.experiments.ablation_plan import FULL, Condition, Plan, Planner, Run, Size
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.training import TrainRequest, train_job
from vidground_core.records import Question

_UNKNOWN = (
    "the data conditions are not made yet: runs under vg-prompts are counted with the prompts of the arm full, though a condition with more"
    " grounded questions takes fewer, and conditions that turn out alike are trained once"
)


def plan_ablation(assembly: Assembly, out: Path) -> dict[str, Any]:
    """The object of `vg ablate --dry-run --json`; writes nothing.

    Sizes of data conditions, and so the prompts of the budget vg-prompts, are known once `out` holds them; before, these runs are counted
    with the prompts of the other budget, which `notes` says. Tokens and GPU-hours come from runs that are done in
    `out`, else from ablation.tokens_per_prompt and ablation.gpu_hours_per_1000_prompts; null where there is neither.
    """
    planner = check_ablation(assembly)
    made = all(is_finished(out / "data" / each.name) for each in planner.conditions() if each.policies) and is_finished(out / "detect")
    notes = []
    if made:
        sizes = sizes_of(planner, out)
    else:
        questions = sum(isinstance(row, Question) for row in assembly.dataset().rows())
        sizes = {each.name: Size(questions, questions, known=not each.policies) for each in (Condition(FULL), *planner.conditions())}
        if "vg-prompts" in planner.settings.budgets:
            notes.append(_UNKNOWN)
    plan = planner.plan(sizes)
    cost = _cost(assembly, out)
    return {
        "out": str(out),
        "data": [{"name": name, "questions": size.questions if made else None} for name, size in sizes.items()],
        "runs": [_planned(run, plan, out, cost) for run in plan.runs],
        "prompts": sum(run.prompts for run in plan.runs),
        "tokens": _scaled(plan.runs, cost.get("tokens")),
        "gpu_hours": _scaled(plan.runs, cost.get("hours")),
        "notes": [*notes, *plan.notes],
        "warnings": _warnings(planner, plan, out),
    }


def _planned(run: Run, plan: Plan, out: Path, cost: Mapping[str, float]) -> dict[str, Any]:
    uses = [f"{use.arm} ({use.budget})" for use in plan.uses if use.run is run]
    facts = {"run": run.key, "data": run.condition.name, "seed": run.seed, "trainer": run.trainer["name"], "prompts": run.prompts}
    return facts | {
        "used_by": uses,
        "needs": list(run.needs.values()),
        "done": is_finished(out / "train" / run.key) and is_finished(out / "eval" / run.key),
        "tokens": _scaled([run], cost.get("tokens")),
        "gpu_hours": _scaled([run], cost.get("hours")),
    }


def _scaled(runs: Sequence[Run], per_prompt: float | None) -> float | None:
    return None if per_prompt is None else sum(run.prompts for run in runs) * per_prompt


def _cost(assembly: Assembly, out: Path) -> dict[str, float]:
    """Tokens and hours a prompt, as far as known."""
    own = assembly.settings.ablation
    given = {"hours": own.gpu_hours_per_1000_prompts / 1000, "tokens": own.tokens_per_prompt}
    known = {name: value for name, value in given.items() if value}
    file = out / TIMES
    done = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    prompts = sum(line["prompts"] for line in done)
    if prompts:
        known["tokens"] = sum(line["tokens"] for line in done) / prompts
        known["hours"] = sum(line["training_s"] for line in done) / 3600 / prompts
    return known


def _warnings(planner: Planner, plan: Plan, out: Path) -> list[str]:
    """What `check` finds missing for the first run of each trainer; data that is not made yet is not missing."""
    found: dict[str, None] = {}
    for run in {str(run.trainer["name"]): run for run in reversed(plan.runs)}.values():
        settings = planner.assembly.settings.model_copy(update={"trainer": dict(run.trainer), "seed": run.seed})

        request = TrainRequest(str(data_folder(out, run.condition)), out / "train" / run.key)
        job = train_job(request, Assembly(settings, planner.assembly.registry))
        missing = planner.trainer(run.trainer, seed=run.seed).check(job)
        found |= dict.fromkeys(line for line in missing if str(job.data) not in line)
    return list(found)
