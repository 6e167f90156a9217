"""vg detect: verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
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
    max_cost: options.MaxCost = None,
    max_tokens: options.MaxTokens = None,
    shard: options.Shard = None,
    batch_out: options.BatchOut = None,
    batch_in: options.BatchIn = None,
) -> None:
    """Ask which questions can be answered without watching: one verdict a question and detector."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.detection import Detection
    from vidground_core.experiments.detection import detect as run_detection
    from vidground_core.runs.batch_files import opened_batch

    session: Session = ctx.obj
    flags = options.given(dataset=dataset, detectors=detectors, model=model, engine=engine, executor=executor)
    flags |= options.given(limit=limit, seed=seed, max_failures=max_failures, store=store)
    flags |= options.given(max_cost=max_cost, max_tokens=max_tokens, shard=shard)
    ready = prepare(session, flags, sets)
    with opened_batch(batch_out, batch_in or ()) as batch:
        result = run_detection(ready.assembly, out, ready.context, passed=ready.passed, detection=Detection(batch=batch))
    session.output.result(result, lambda: show_detection(session.output, result))


def show_detection(output: Output, result: dict[str, Any]) -> None:
    """The result of a detection for a person."""
    output.line(f"{result['questions']} questions, {result['set_aside']} rows set aside; written to {result['out']}")
    show_set_aside(output, result)
    columns = ("detector", "version", ">asked", ">reused", ">refused", ">unparsed", ">failed", ">no media")
    keys = ("asked", "reused", "refused", "unparsed", "failed", "media")
    rows = [(one["name"], one["version"], *(str(one[key]) for key in keys)) for one in result["detectors"]]
    output.table("", columns, rows)
    show_spending(output, result["detectors"])
    show_batch(output, result)


def show_set_aside(output: Output, result: dict[str, Any]) -> None:
    """Why the first row was set aside, and where the rest stands."""
    if result["set_aside"]:
        from vidground_core.runs.layout import Layout
        from vidground_core.runs.set_aside import read_set_aside

        file = Layout(Path(result["out"])).set_aside_file
        output.line(f"set aside first: {read_set_aside(file)[0].reason} ({file} has all reasons)")


def show_spending(output: Output, detectors: Sequence[Mapping[str, Any]]) -> None:
    """A line of tokens and dollars, where an engine counted any."""
    prompts, generated, cost = (sum(one.get(key, 0) for one in detectors) for key in ("prompt_tokens", "generated_tokens", "cost"))
    if prompts + generated:
        output.line(f"{prompts} tokens of prompts, {generated} generated" + (f": ${cost:.4f}" if cost else ""))


def show_batch(output: Output, result: Mapping[str, Any]) -> None:
    """What was written for a batch, and what to do with it."""
    files = result.get("batch", {}).get("files", [])
    if files:
        waiting = max(one["postponed"] for one in result["detectors"])
        output.line(f"{result['batch']['asks']} asks, for which {waiting} questions wait, written to {', '.join(files)}")
        output.line("have them answered, then run the same command with --batch-in RESULTS in place of --batch-out")
