"""vg plugins: what is installed and where it comes from; check one against its contract; start a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidground_core.cli.app import Session
from vidground_core.errors import PluginError


def register(app: typer.Typer) -> None:
    """Adds `vg plugins` with `list`, `check` and `new`."""
    group = typer.Typer(help="List, check and start plugins.", invoke_without_command=True, rich_markup_mode=None)
    group.callback()(_default)
    group.command("list")(list_plugins)
    group.command("check")(check)
    group.command("new")(new)
    app.add_typer(group, name="plugins")


def _default(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_plugins(ctx)


def list_plugins(ctx: typer.Context) -> None:
    """Names, versions, origin, and what was skipped and why."""
    session: Session = ctx.obj
    rows = [
        {
            "name": info.name,
            "distribution": info.distribution,
            "version": info.version,
            "api": info.api,
            "problem": info.problem,
            "components": [f"{kind}:{name}" for kind, name in info.components],
        }
        for info in session.registry.plugins
    ]

    def show() -> None:
        columns = ("name", "distribution", "version", "brings")
        cells = [(i.name, i.distribution, i.version, i.problem or _brings(i.components)) for i in session.registry.plugins]
        session.output.table("", columns, cells)

    session.output.result({"plugins": rows}, show)


def _brings(components: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{kind} {name}" for kind, name in components) or "no components"


def check(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Entry-point name of the plugin, as vg plugins shows it.")]) -> None:
    """Run the contract suite over every component of a plugin."""
    from vidground_core.testing.checks import check_plugin

    session: Session = ctx.obj
    results = check_plugin(name, session.registry)
    rows = [{"component": r.component, "check": r.check, "ok": r.ok, "message": r.message} for r in results]

    def show() -> None:
        cells = [(r.component, r.check, "ok" if r.ok else "FAILED", r.message) for r in results]
        session.output.table("", ("component", "check", "result", "message"), cells)

    session.output.result({"plugin": name, "checks": rows, "passed": all(r.ok for r in results)}, show)
    failed = [r for r in results if not r.ok]
    if failed:
        raise PluginError(f"plugin {name!r} breaks its contract in {len(failed)} of {len(results)} checks; the first: {failed[0].message}")


def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new distribution, such as vidground-my-detector.")],
    folder: Annotated[Path, typer.Option(help="Folder to create it in.")] = Path(),
) -> None:
    """Start a new plugin: a package with a detector, its contract test and a README."""
    from vidground_core.plugin_template import new_plugin

    session: Session = ctx.obj
    made = new_plugin(name, folder)
    session.output.result(
        {"folder": str(made)}, lambda: session.output.line(f"made {made}; next: pip install -e {made} && vg plugins check {made.name}")
    )
