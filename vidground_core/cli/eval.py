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
    verdicts: Annotated[
        list[Path] | None,
        typer.Option("--verdicts", help="Directory whose verdicts define the TA and VG splits; may be given several times."),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option("--judge", metavar="D[,D…]", help="The detectors whose verdicts define the splits, where there are several."),
    ] = None,
    ta_when: Annotated[
        str | None,
        typer.Option("--ta-when", metavar="any|all|K", help="Of several judges, how many must answer a question for it to be TA."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", help="Name of a prompt, such as letter, lmms-eval or vlmevalkit (each benchmark's own text), or a file."),
    ] = None,
    voting: Annotated[
        str | None, typer.Option("--voting", help="sparse-to-dense: ask several times, and with more frames until the answers agree.")
    ] = None,
    changed: Annotated[
        str | None,
        typer.Option("--changed", metavar="C[,C…]", help="Ask with the video changed too: shuffled, reversed, single, mismatched, blank."),
    ] = None,
    lmms_eval: Annotated[
        bool,
        typer.Option("--lmms-eval/--no-lmms-eval", help="Also write results and samples in the form of lmms-eval, below OUT/lmms-eval."),
    ] = True,
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
    wanted |= options.given(prompt=prompt, voting=voting)
    flags = options.given(model=model, engine=engine, executor=executor, limit=limit, seed=seed, max_failures=max_failures, store=store)
    flags |= options.given(max_cost=max_cost, max_tokens=max_tokens)
    ready = prepare(session, {**flags, "eval": wanted} if wanted else flags, sets)
    request = EvalRequest(model, out, tuple(verdicts or ()), judge or "", ta_when or "any", lmms_eval)
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
    missing = any(one["missing_media"] for one in result["benchmarks"])
    columns = ["benchmark", ">frames", "split", ">n", ">accuracy", "95% interval"]
    columns += [">missing media", ">of the others"] if missing else []
    rows = [
        (
            *(one["name"], str(one["frames"]), split, str(rate["n"]), percent(rate["accuracy"]), interval(rate["interval"])),
            *((str(rate["missing_media"]), _with_media(rate)) if missing else ()),
        )
        for one in result["benchmarks"]
        for split, rate in one["splits"].items()
    ]
    output.table(f"{result['model']}: accuracy in %, intervals clustered by video", columns, rows)
    _show_changed(output, result)
    _show_voting(output, result)
    for path in result.get("lmms_eval", ()):
        output.line(f"in the form of lmms-eval: {path}")


def _with_media(rate: dict[str, Any]) -> str:
    """Accuracy on the questions whose media are there, with their number."""
    found = rate.get("with_media", rate)
    return "–" if found["accuracy"] is None else f"{percent(found['accuracy'])} of {found['n']}"


def _show_changed(output: Output, result: dict[str, Any]) -> None:
    rows = [
        (
            *(one["name"], str(one["frames"]), found["measures"].replace("_", " "), split, str(row["n"])),
            *(percent(row["ordered"]), percent(row["accuracy"]), f"{100 * row['gain']:+.1f}", interval(row["interval"])),
        )
        for one in result["benchmarks"]
        for found in one.get("changed", {}).values()
        for split, row in found["splits"].items()
    ]
    if rows:
        columns = ("benchmark", ">frames", "measure", "split", ">n", ">right video", ">changed video", ">points", "95% interval")
        output.table("with the video changed, on the questions asked both ways; accuracy in %", columns, rows)


def _show_voting(output: Output, result: dict[str, Any]) -> None:
    rows = [
        (
            *(one["name"], f"{one['frames']} to {one['voting']['most_frames']}", split, str(row["n"])),
            *(f"{row['mean_frames']:.1f}", f"{row['mean_replies']:.1f}", percent(row["unanimous"])),
            *(percent(row["first"]["accuracy"]), f"{100 * row['gain']['value']:+.1f}", interval(row["gain"]["interval"])),
        )
        for one in result["benchmarks"]
        if "voting" in one
        for split, row in one["voting"]["splits"].items()
    ]
    if rows:
        columns = ("benchmark", ">frames", "split", ">n", ">used", ">replies", ">agreed", ">first vote", ">points", "95% interval")
        output.table("voting: mean frames and replies a question, and what more frames brought; in %", columns, rows)
