"""vg ablate: arms × seeds under one protocol, with paired statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output, interval, percent
from vidground_core.cli.train import DryRun


def register(app: typer.Typer) -> None:
    """Adds `vg ablate`."""
    app.command("ablate")(ablate)


def ablate(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Settings, with the arms in the section ablation.")],
    out: options.Out,
    sets: options.Sets = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    max_failures: options.MaxFailures = None,
    store: options.Store = None,
    dry_run: DryRun = False,
) -> None:
    """Train every arm with every seed under one protocol, evaluate each, and compare them pair by pair."""
    from vidground_core.cli.steps import prepare
    from vidground_core.errors import TooManyFailuresError
    from vidground_core.experiments.ablation import ablate as run_ablation
    from vidground_core.experiments.ablation_dry_run import plan_ablation
    from vidground_core.report import write_report

    session: Session = ctx.obj
    flags = options.given(limit=limit, seed=seed, max_failures=max_failures, store=store)
    ready = prepare(session, flags, sets, config=config)
    if dry_run:
        plan = plan_ablation(ready.assembly, out)
        session.output.result(plan, lambda: show_plan(session.output, plan))
        return
    try:
        result = run_ablation(ready.assembly, out, ready.context, passed=ready.passed)
    except TooManyFailuresError:
        if (out / "results.json").is_file():
            write_report(out)
        raise
    page = write_report(out)
    session.output.result({**result, "report": str(page)}, lambda: show_ablation(session.output, result, page))


def show_plan(output: Output, plan: Mapping[str, Any]) -> None:
    """The plan for a person: each run with its prompts, tokens and GPU-hours, and their sums."""
    columns = ("run", "data", "trainer", ">seed", ">prompts", ">tokens", ">GPU-hours", "done", "used by")
    rows = [
        (
            *(run["run"], run["data"], run["trainer"], str(run["seed"]), str(run["prompts"])),
            *(_count(run["tokens"]), _hours(run["gpu_hours"]), "yes" if run["done"] else "", ", ".join(run["used_by"])),
        )
        for run in plan["runs"]
    ]
    output.table(f"{len(plan['runs'])} runs, to be written to {plan['out']}", columns, rows)
    tokens, hours = _count(plan["tokens"]), _hours(plan["gpu_hours"])
    output.line(f"in all {plan['prompts']} prompts, tokens: {tokens}, GPU-hours: {hours}")
    if plan["gpu_hours"] is None:
        options = "ablation.tokens_per_prompt and ablation.gpu_hours_per_1000_prompts"
        output.note(f"tokens and GPU-hours are known once a run is done, or by {options}")
    for note in plan["notes"]:
        output.note(note)
    for warning in plan["warnings"]:
        output.note(f"warning: {warning}")


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _hours(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def show_ablation(output: Output, result: Mapping[str, Any], page: Path) -> None:
    """Accuracies of each arm by split, then the paired differences, one table a budget."""
    for budget in result["protocol"]["budgets"]:
        arms = [arm for arm in result["arms"] if arm["budget"] in (budget, "")]
        _show_accuracies(output, arms, budget)
        for against in dict.fromkeys(each["against"] for each in result["differences"] if each["budget"] == budget):
            chosen = [each for each in result["differences"] if (each["budget"], each["against"]) == (budget, against)]
            _show_differences(output, chosen, against, budget)
    _show_verdicts(output, result)
    for note in result["notes"]:
        output.note(note)
    output.line(f"written to {result['out']}: results.json, tables/*.csv, tables/tables.tex")
    output.line(f"report: {page}")


def _show_verdicts(output: Output, result: Mapping[str, Any]) -> None:
    """What filtering did against everything, and against every other arm where a difference is seen; then what this cannot mean."""
    from vidground_core.experiments.ablation_plan import FILTERED, FULL
    from vidground_core.experiments.ablation_verdict import NOT_SHOWN, SAME, caveats

    verdicts = [each for each in result.get("verdicts", ()) if FILTERED in (each["arm"], each["against"])]
    silent = (NOT_SHOWN, SAME)
    shown = [each for each in verdicts if each["finding"] not in silent or (each["arm"], each["against"]) == (FILTERED, FULL)]
    if shown:
        output.line("does filtering beat it, beyond noise?")
    for each in shown:
        output.line(f"  {each['text']}")
    if len(shown) < len(verdicts):
        output.line(f"  in {len(verdicts) - len(shown)} other comparisons with {FILTERED} no difference is shown")
    for caveat in caveats(result):
        output.note(caveat)


def _show_accuracies(output: Output, arms: Sequence[Mapping[str, Any]], budget: str) -> None:
    places = list(dict.fromkeys((p["benchmark"], p["frames"], p["split"]) for arm in arms for p in arm["places"]))
    for benchmark, frames in dict.fromkeys((name, number) for name, number, _ in places):
        splits = [split for name, number, split in places if (name, number) == (benchmark, frames)]
        rows = []
        for arm in arms:
            cells = {p["split"]: p for p in arm["places"] if (p["benchmark"], p["frames"]) == (benchmark, frames)}
            prompts = max(arm.get("prompts") or [0])
            rows.append([arm["name"], str(len(arm["seeds"]) or "–"), str(prompts or "–"), *(_cell(cells.get(split)) for split in splits)])
        title = f"{benchmark}, {frames} frames, budget {budget}: accuracy in % [95% interval over seeds and videos]"
        output.table(title, ("arm", ">seeds", ">prompts", *(f">{split}" for split in splits)), rows)


def _cell(place: Mapping[str, Any] | None) -> str:
    return "–" if place is None else f"{percent(place['accuracy'])} {interval(place['interval'])}"


def _show_differences(output: Output, differences: Sequence[Mapping[str, Any]], against: str, budget: str) -> None:
    columns = ("arm", "benchmark", ">frames", "split", ">points", "95% interval", ">p", ">p, Holm", ">detectable")
    rows = [
        (
            *(each["arm"], each["benchmark"], str(each["frames"]), each["split"], f"{each['points']:+.1f}"),
            f"[{each['interval'][0]:+.1f}, {each['interval'][1]:+.1f}]",
            *(_probability(each["p"]), _probability(each["p_adjusted"])),
            "–" if each["detectable"] is None else f"{each['detectable']:.1f}",
        )
        for each in differences
    ]
    output.table(f"difference to {against}, budget {budget}, in points; detectable: found with a chance of 80%", columns, rows)


def _probability(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"
