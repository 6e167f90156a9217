"""vg run: the whole way, or the embedded example."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output, interval, percent
from vidground_core.cli.train import DryRun, show_plan
from vidground_core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Adds `vg run`."""
    app.command("run")(run)


def run(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG.yaml", help="Settings; the embedded example without it.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="The data set, as NAME:PATH.")] = None,
    detectors: options.Detectors = None,
    filters: Annotated[list[str] | None, typer.Option("--filter", help="A filter policy; several are applied in this order.")] = None,
    trainer: Annotated[str | None, typer.Option("--trainer", help="The trainer.")] = None,
    model: options.Model = None,
    engine: options.Engine = None,
    executor: options.Executor = None,
    out: options.Out = Path("vg-run"),
    sets: options.Sets = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    max_failures: options.MaxFailures = None,
    store: options.Store = None,
    max_cost: options.MaxCost = None,
    max_tokens: options.MaxTokens = None,
    dry_run: DryRun = False,
) -> None:
    """Detect, filter, train, evaluate, report. Without arguments the embedded example."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.pipeline import plan_run
    from vidground_core.experiments.pipeline import run as run_pipeline
    from vidground_core.experiments.settings import embedded_example
    from vidground_core.report import write_report

    session: Session = ctx.obj
    flags = options.given(dataset=dataset, detectors=detectors, filter=filters, trainer=trainer, model=model, engine=engine)
    flags |= options.given(executor=executor, limit=limit, seed=seed, max_failures=max_failures, store=store)
    flags |= options.given(max_cost=max_cost, max_tokens=max_tokens)
    base = embedded_example() if config is None and dataset is None else None
    ready = prepare(session, flags, sets, config=config, base=base)
    if ready.assembly.settings.shard:
        raise ConfigError(f"shard = {ready.assembly.settings.shard!r}: vg run needs all questions; vg detect and vg audit take a share")
    if dry_run:
        plan = plan_run(ready.assembly, out)
        session.output.result(plan, lambda: _show_plan(session.output, plan))
        return
    result = run_pipeline(ready.assembly, out, ready.context, passed=ready.passed)
    page = write_report(out)
    session.output.result({**result, "report": str(page)}, lambda: show_run(session.output, result, page))


def _show_plan(output: Output, plan: dict[str, Any]) -> None:
    for arm, training in plan["train"].items():
        output.line(f"arm {arm}:")
        show_plan(output, {**training, "warnings": []})
    for warning in plan["warnings"]:
        output.note(f"warning: {warning}")


def show_run(output: Output, result: dict[str, Any], page: Path) -> None:
    """One table: accuracy on each benchmark and split, before and after each arm, with intervals."""
    filtered = result["filter"]
    output.line(
        f"kept {filtered['kept']} of {filtered['total']} questions ({', '.join(f'{r}: {n}' for r, n in filtered['reasons'].items())})"
    )
    evaluations = result.get("eval", [])
    if evaluations:
        columns = ["benchmark", "split", ">n", *(f">{one['checkpoint']}" for one in evaluations)]
        output.table("accuracy, % [95% interval, clustered by video]", columns, _accuracy_rows(evaluations))
    output.line(f"report: {page}")


def _accuracy_rows(evaluations: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for index, benchmark in enumerate(evaluations[0]["benchmarks"]):
        several = len({one["frames"] for one in evaluations[0]["benchmarks"] if one["name"] == benchmark["name"]}) > 1
        name = f"{benchmark['name']}, {benchmark['frames']} frames" if several else benchmark["name"]
        for split, rate in benchmark["splits"].items():
            cells = [one["benchmarks"][index]["splits"][split] for one in evaluations]
            rows.append([name, split, str(rate["n"]), *(f"{percent(c['accuracy'])} {interval(c['interval'])}" for c in cells)])
    return rows
