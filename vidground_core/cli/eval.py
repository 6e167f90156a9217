"""vg eval: accuracy by split, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output, interval, percent
from vidground_core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Adds `vg eval`."""
    app.command("eval")(evaluate_model)


def evaluate_model(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model: a path, a hub name, or nano.")],
    out: options.Out,
    benchmarks: Annotated[
        list[str] | None, typer.Option("--benchmark", help="A data set, as NAME:PATH; may be given several times.")
    ] = None,
    frames: Annotated[str | None, typer.Option("--frames", metavar="N[,N…]", help="Frames shown; each number is evaluated.")] = None,
    splits: Annotated[str | None, typer.Option("--splits", metavar="S[,S…]", help="full, ta, vg, or a label of the data set.")] = None,
    verdicts: Annotated[Path | None, typer.Option("--verdicts", help="Directory whose verdicts define the TA and VG splits.")] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="The detector whose verdicts define the splits, where there are several.")
    ] = None,
    changed: Annotated[
        str | None,
        typer.Option("--changed", metavar="C[,C…]", help="Ask with the video changed too: shuffled, reversed, single, mismatched, blank."),
    ] = None,
    engine: options.Engine = None,
    executor: options.Executor = None,
    sets: options.Sets = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    max_failures: options.MaxFailures = None,
    store: options.Store = None,
    max_cost: options.MaxCost = None,
    max_tokens: options.MaxTokens = None,
) -> None:
    """Evaluate a model on the full, TA and VG splits of benchmarks, with intervals clustered by video."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.benchmarks import EvalRequest, evaluate

    session: Session = ctx.obj
    wanted = options.given(benchmarks=benchmarks, frames=_numbers(frames), splits=_names(splits), changed=_names(changed))
    flags = options.given(model=model, engine=engine, executor=executor, limit=limit, seed=seed, max_failures=max_failures, store=store)
    flags |= options.given(max_cost=max_cost, max_tokens=max_tokens)
    ready = prepare(session, {**flags, "eval": wanted} if wanted else flags, sets)
    request = EvalRequest(model=model, out=out, verdicts=verdicts, judge=judge or "")
    result = evaluate(request, ready.assembly, ready.context, passed=ready.passed)
    session.output.result(result, lambda: show_evaluation(session.output, result))


def _names(text: str | None) -> list[str] | None:
    return text.split(",") if text else None


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--frames {text!r}: expected numbers such as 16,32,64") from error


def show_evaluation(output: Output, result: dict[str, Any]) -> None:
    """An evaluation for a person."""
    columns = ("benchmark", ">frames", "split", ">n", ">accuracy", "95% interval", ">missing media")
    rows = [
        (
            one["name"],
            str(one["frames"]),
            split,
            str(rate["n"]),
            percent(rate["accuracy"]),
            interval(rate["interval"]),
            str(one["missing_media"]),
        )
        for one in result["benchmarks"]
        for split, rate in one["splits"].items()
    ]
    output.table(f"{result['model']}: accuracy in %, intervals clustered by video", columns, rows)
    _show_changed(output, result)


def _show_changed(output: Output, result: dict[str, Any]) -> None:
    rows = [
        (
            *(one["name"], str(one["frames"]), condition, split, str(row["n"])),
            *(percent(row["ordered"]), percent(row["accuracy"]), f"{100 * row['gain']:+.1f}", interval(row["interval"])),
        )
        for one in result["benchmarks"]
        for condition, found in one.get("changed", {}).items()
        for split, row in found["splits"].items()
    ]
    if rows:
        columns = ("benchmark", ">frames", "changed", "split", ">n", ">right video", ">changed video", ">gain", "95% interval")
        output.table("with the video changed, on the questions asked both ways; accuracy in %", columns, rows)
