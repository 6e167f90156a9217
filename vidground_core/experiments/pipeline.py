"""vg run: detect, filter, train each arm, evaluate every checkpoint, report. Only a composition: each step is a verb of its own."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from vidground_core.errors import InputError
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.benchmarks import EvalRequest, evaluate
from vidground_core.experiments.context import Context
from vidground_core.experiments.detection import check_detection, detect
from vidground_core.experiments.filtering import filter_set
from vidground_core.experiments.training import TrainRequest, plan_training, require_trainer, train, train_job
from vidground_core.runs.directory import RunDirectory


def plan_run(assembly: Assembly, out: Path) -> dict[str, Any]:
    """The object of `vg run --dry-run --json`: settings, each arm's training plan, and under `warnings` what is missing here."""
    check_detection(assembly)
    assembly.filters()
    arms = _requests(assembly, out)
    plans = {arm: plan_training(request, assembly, made_before=True) for arm, request in arms.items()}
    warnings = list(dict.fromkeys(warning for plan in plans.values() for warning in plan.pop("warnings")))
    return {"out": str(out), "settings": _resolved(assembly), "train": plans, "warnings": warnings}


def run(assembly: Assembly, out: Path, context: Context, *, passed: Mapping[str, Any]) -> dict[str, Any]:
    """The whole way; returns the objects of its steps under their verb's name. Re-running resumes at the first unfinished step."""
    _check(assembly, out)
    resolved = _resolved(assembly)
    with RunDirectory.open(out, "run", passed=passed, resolved=resolved) as directory:
        if directory.done and directory.result is not None:
            return directory.result
        result: dict[str, Any] = {"out": str(out)}
        result["detect"] = detect(assembly, out / "detect", context, passed=passed)
        result["filter"] = filter_set(out / "detect", assembly, out / "filter", context, passed=passed)
        context.note(f"kept {result['filter']['kept']} of {result['filter']['total']} questions")
        if assembly.trainer() is not None:
            result["train"] = _train_arms(assembly, out, context, passed)
        if assembly.settings.eval.benchmarks:
            result["eval"] = _evaluate(assembly, out, context, result.get("train", []), passed)
        directory.finish(result)
        return result


def _resolved(assembly: Assembly) -> dict[str, Any]:
    """The settings that concern `vg run`."""
    return assembly.settings.model_dump(mode="json", exclude={"ablation"})


def _check(assembly: Assembly, out: Path) -> None:
    """Everything that can be refused is refused before the first question is asked."""
    check_detection(assembly)
    assembly.filters()
    if assembly.trainer() is not None:
        for request in _requests(assembly, out).values():
            train_job(request, assembly)
    for benchmark in assembly.settings.eval.benchmarks:
        assembly.dataset(benchmark)


def _requests(assembly: Assembly, out: Path) -> dict[str, TrainRequest]:
    if assembly.trainer() is None:
        return {}
    data = {"full": out / "detect" / "questions", "filtered": out / "filter" / "kept"}
    return {arm: TrainRequest(str(data[arm]), out / "train" / arm) for arm in assembly.settings.run.arms}


def _train_arms(assembly: Assembly, out: Path, context: Context, passed: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = require_trainer(assembly).name
    requests = _requests(assembly, out)
    lanes = min(assembly.settings.run.parallel, len(requests))
    context.note(f"training {', '.join(requests)} with {name}, {lanes} at a time")
    with ThreadPoolExecutor(lanes) as pool:
        futures = {arm: pool.submit(train, request, assembly, context, passed=passed) for arm, request in requests.items()}
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
            return [{"arm": arm, **future.result()} for arm, future in futures.items()]
        except BaseException:
            # Ctrl-C reaches only this thread, and one arm's failure should not wait for the other's end.
            for arm, request in requests.items():
                futures[arm].cancel()
                request.stop.set()
            raise


def _evaluate(
    assembly: Assembly, out: Path, context: Context, trained: list[dict[str, Any]], passed: Mapping[str, Any]
) -> list[dict[str, Any]]:
    checkpoints = {"start": assembly.settings.model} | {arm["arm"]: arm["checkpoint"] for arm in trained}
    if not checkpoints["start"]:
        raise InputError("no model to evaluate is given: --model NAME or PATH")
    results = []
    for name, model in checkpoints.items():
        context.note(f"evaluating {name}")
        request = EvalRequest(model=model, out=out / "eval" / name)
        results.append({"checkpoint": name, **evaluate(request, assembly, context, passed=passed)})
    return results
