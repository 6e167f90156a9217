"""vg detect: verdicts."""

from __future__ import annotations

from typing import Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output


def register(app: typer.Typer) -> None:
    """Adds `vg detect`."""
    app.command("detect")(detect)


def detect(
    ctx: typer.Context,
    dataset: options.DatasetArgument,
    out: options.Out,
    detectors: options.Detectors = None,
    model: options.Model = None,
    engine: options.Engine = None,
    executor: options.Executor = None,
    sets: options.Sets = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    max_failures: options.MaxFailures = None,
    store: options.Store = None,
) -> None:
    """Ask which questions can be answered without watching: one verdict a question and detector."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.detection import detect as run_detection

    session: Session = ctx.obj
    flags = options.given(dataset=dataset, detectors=detectors, model=model, engine=engine, executor=executor)
    flags |= options.given(limit=limit, seed=seed, max_failures=max_failures, store=store)
    ready = prepare(session, flags, sets)
    result = run_detection(ready.assembly, out, ready.context, passed=ready.passed)
    session.output.result(result, lambda: show_detection(session.output, result))


def show_detection(output: Output, result: dict[str, Any]) -> None:
    """The result of a detection for a person."""
    output.line(f"{result['questions']} questions, {result['set_aside']} rows set aside; written to {result['out']}")
    columns = ("detector", "version", ">asked", ">reused", ">refused", ">unparsed", ">failed", ">no media")
    keys = ("asked", "reused", "refused", "unparsed", "failed", "media")
    rows = [(one["name"], one["version"], *(str(one[key]) for key in keys)) for one in result["detectors"]]
    output.table("", columns, rows)
