"""vg filter: decisions, the curated set, the dropped set with reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output, percent


def register(app: typer.Typer) -> None:
    """Adds `vg filter`."""
    app.command("filter")(filter_)


def filter_(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What vg detect wrote.")],
    out: options.Out,
    policy: Annotated[str | None, typer.Option("--policy", "--filter", help="The policy; drop-answerable by default.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set an option of the policy, such as threshold=0.6.")
    ] = None,
) -> None:
    """Turn verdicts into a curated set: every row kept or dropped with its reason."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.filtering import filter_set

    session: Session = ctx.obj
    rooted = [setting if setting.startswith("filter.") else f"filter.{setting}" for setting in sets or ()]
    ready = prepare(session, {"filter": policy}, rooted, base={"filter": "drop-answerable"})
    result = filter_set(directory, ready.assembly, out, ready.context, passed=ready.passed)
    session.output.result(result, lambda: show_filter(session.output, result))


def show_filter(output: Output, result: dict[str, Any]) -> None:
    """The result of a filter for a person."""
    share = percent(result["kept"] / result["total"] if result["total"] else None)
    output.line(
        f"{result['policy']} {result['version']}: kept {result['kept']} of {result['total']} ({share}%), dropped {result['dropped']}"
    )
    rows = sorted(result["reasons"].items(), key=lambda item: -item[1])
    output.table("", ("reason", ">questions"), [(reason, str(n)) for reason, n in rows])
    drops = result["expected_false_drops"]
    output.line(f"probably dropped by luck: {'–' if drops is None else f'{drops:.0f}'} ({result['expected_errors_note']})")
    output.line(f"written to {result['out']}")
