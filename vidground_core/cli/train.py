"""vg train: a checkpoint and its metrics."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would run and what is missing here; run nothing.")]


def register(app: typer.Typer) -> None:
    """Adds `vg train`."""
    app.command("train")(train)


def train(
    ctx: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help="What vg filter wrote, or any data set.")],
    out: options.Out,
    trainer: Annotated[str | None, typer.Option("--trainer", help="The trainer.")] = None,
    model: options.Model = None,
    seed: options.Seed = None,
    sets: options.Sets = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from the newest checkpoint in OUT.")] = True,
    dry_run: DryRun = False,
) -> None:
    """Train a model on a curated set, or on any data set."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.training import TrainRequest, plan_training
    from vidground_core.experiments.training import train as run_training

    session: Session = ctx.obj
    ready = prepare(session, {"trainer": trainer, "model": model, "seed": seed}, sets)
    request = TrainRequest(data, out, resume)
    if dry_run:
        plan = plan_training(request, ready.assembly)
        session.output.result(plan, lambda: show_plan(session.output, plan))
        return
    result = run_training(request, ready.assembly, ready.context, passed=ready.passed)
    session.output.result(result, lambda: show_training(session.output, result))


def show_plan(output: Output, plan: dict[str, Any]) -> None:
    """A training plan for a person."""
    output.line("command: " + " ".join(plan["argv"]))
    for name, value in plan["env"].items():
        output.line(f"  {name}={value}")
    for path, text in plan["files"].items():
        output.line(f"file {path}:\n{text}")
    for note in plan["notes"]:
        output.line(f"note: {note}")
    for warning in plan["warnings"]:
        output.note(f"warning: {warning}")


def show_training(output: Output, result: dict[str, Any]) -> None:
    """The result of a training for a person."""
    output.line(
        f"{result['trainer']}: {result['steps']} steps, {result['prompts']} prompts, {result['tokens']} tokens, "
        f"on {result['questions']} questions; checkpoint {result['checkpoint']}"
    )
