"""vg audit: how much of a benchmark can be answered without watching, in one table."""

from __future__ import annotations

from typing import Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output, interval, percent


def register(app: typer.Typer) -> None:
    """Adds `vg audit`."""
    app.command("audit")(audit)


def audit(
    ctx: typer.Context,
    dataset: options.DatasetArgument,
    detectors: options.Detectors = None,
    out: options.AuditOut = None,
    model: options.Model = None,
    engine: options.Engine = None,
    executor: options.Executor = None,
    sets: options.Sets = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    max_failures: options.MaxFailures = None,
    store: options.Store = None,
) -> None:
    """One table: a benchmark's text-only answerability, against chance, with intervals."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.audit import audit as make_audit
    from vidground_core.experiments.detection import detect
    from vidground_core.runs.judged import judged_rows
    from vidground_core.runs.set_aside import read_set_aside

    session: Session = ctx.obj
    flags = options.given(dataset=dataset, detectors=detectors, model=model, engine=engine, executor=executor)
    flags |= options.given(limit=limit, seed=seed, max_failures=max_failures, store=store)
    ready = prepare(session, flags, sets, base={"detectors": ["question-only"]})

    def finish(layout: Any, data: Any) -> dict[str, Any]:
        result: dict[str, Any] = make_audit(judged_rows(layout), data.spec).as_json()
        return {**result, "set_aside": len(read_set_aside(layout.set_aside_file)), "out": str(layout.root)}

    with options.given_or_temporary(out) as folder:
        result = detect(ready.assembly, folder, ready.context, passed=ready.passed, verb="audit", finish=finish)
    if out is None:
        result = {**result, "out": None}
    session.output.result(result, lambda: show_audit(session.output, result))


def show_audit(output: Output, result: dict[str, Any]) -> None:
    """An audit for a person: every judge beside chance and the trivial baselines."""
    columns = ("judge", ">n", ">accuracy", ">chance", ">gain", "95% interval", ">refused", ">unparsed", ">failed")
    rows = [_row(judge) for judge in (*result["judges"], *result.get("baselines", []))]
    output.table(f"{result['dataset']}: {result['questions']} questions, {result['set_aside']} rows set aside; rates in %", columns, rows)
    if result["out"]:
        output.line(f"written to {result['out']}")


def _row(judge: dict[str, Any]) -> tuple[str, ...]:
    gain = None if judge["accuracy"] is None else judge["accuracy"] - judge["chance"]
    rates = [percent(judge.get(key)) for key in ("refused", "unparsed", "failed")]
    return (
        judge["name"],
        str(judge["n"]),
        percent(judge["accuracy"]),
        percent(judge["chance"]),
        percent(gain),
        interval(judge["interval"]),
        *rates,
    )
