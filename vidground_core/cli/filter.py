"""vg filter: decisions, the curated set, the dropped set with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output, percent
from vidground_core.errors import ConfigError, nearest

DEFAULT = "drop-answerable"


def register(app: typer.Typer) -> None:
    """Adds `vg filter`."""
    app.command("filter")(filter_)


def filter_(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What vg detect wrote.")],
    out: options.Out,
    policies: Annotated[
        list[str] | None,
        typer.Option("--policy", "--filter", help=f"A policy; several are applied in this order; {DEFAULT} by default."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the policy: threshold=0.6; of several: budget.keep=5000."),
    ] = None,
    seed: options.Seed = None,
) -> None:
    """Turn verdicts into a curated set: every row kept or dropped with its reason."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.filter_chain import refuse_repeated
    from vidground_core.experiments.filtering import filter_set

    session: Session = ctx.obj
    names = list(policies or [DEFAULT])
    refuse_repeated(names)
    shared = options.given(seed=seed)
    ready = [prepare(session, {"filter": name, **shared}, rooted) for name, rooted in _settings_by_policy(names, sets or ()).items()]
    passed = ready[0].passed if len(ready) == 1 else {"filters": [one.passed["filter"] for one in ready], **shared}
    chosen = [policy for one in ready for policy in one.assembly.filters()]
    result = filter_set(directory, ready[0].assembly, out, ready[0].context, passed=passed, policies=chosen)
    session.output.result(result, lambda: show_filter(session.output, result))


def _settings_by_policy(names: Sequence[str], sets: Sequence[str]) -> dict[str, list[str]]:
    """Each policy's settings under the root `filter`: with one policy its name may be left out. Raises ConfigError."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for setting in sets:
        root, _, rest = setting.partition(".")
        if root in found and "=" in rest:
            found[root].append(f"filter.{rest}")
        elif len(names) == 1:
            found[names[0]].append(setting if root == "filter" else f"filter.{setting}")
        else:
            raise ConfigError(f"--set {setting!r}: with several policies write POLICY.KEY=VALUE; {nearest(root, names)}")
    return found


def show_filter(output: Output, result: dict[str, Any]) -> None:
    """The result of a filter for a person."""
    share = percent(result["kept"] / result["total"] if result["total"] else None)
    output.line(
        f"{result['policy']} {result['version']}: kept {result['kept']} of {result['total']} ({share}%), dropped {result['dropped']}"
    )
    if len(result["policies"]) > 1:
        steps = [(step["name"], str(step["reached"]), str(step["dropped"]), _count(step)) for step in result["policies"]]
        output.table("", ("policy", ">reached it", ">dropped", ">of these VG, expected"), steps)
    rows = sorted(result["reasons"].items(), key=lambda item: -item[1])
    output.table("", ("reason", ">questions"), [(reason, str(n)) for reason, n in rows])
    output.line(f"VG questions probably dropped by luck: {_count(result)} ({result['expected_errors_note']})")
    output.line(f"written to {result['out']}")


def _count(result: dict[str, Any]) -> str:
    drops = result["expected_false_drops"]
    return "–" if drops is None else f"{drops:.0f}"
