"""vg report: one self-contained HTML page."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from vidground_core.cli.app import Session


def register(app: typer.Typer) -> None:
    """Adds `vg report`."""
    app.command("report")(report)


def report(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What vg run, detect, filter, audit or eval wrote.")],
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write DIR/report.html: one page that needs no network."""
    from vidground_core.report import write_report

    session: Session = ctx.obj
    page = write_report(directory)
    session.output.result({"report": str(page)}, lambda: session.output.line(f"report: {page}"))
    if open_:
        webbrowser.open(page.resolve().as_uri())
