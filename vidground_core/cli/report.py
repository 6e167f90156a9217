"""vg report: one self-contained HTML page, and the figures of a paper."""

from __future__ import annotations

import warnings
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from vidground_core.cli.app import Session
from vidground_core.cli.output import Output


def register(app: typer.Typer) -> None:
    """Adds `vg report`."""
    app.command("report")(report)


def report(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What vg run, detect, filter, audit, train, eval or ablate wrote.")],
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            metavar="DIR2",
            help="Also draw the figures of a paper into DIR2: TA rates, and an ablation's forest plots, as SVG, PDF and PNG.",
        ),
    ] = None,
) -> None:
    """Write DIR/report.html: one page that needs no network."""
    from vidground_core.report import write_report

    session: Session = ctx.obj
    page = write_report(directory)
    drawn = [str(path) for path in _draw(session.output, directory, figures)] if figures else []
    result = {"report": str(page)} | ({"figures": drawn} if figures else {})
    session.output.result(result, lambda: _show(session.output, page, drawn))
    if open_:
        _open(session.output, page)


def _draw(output: Output, directory: Path, figures: Path) -> tuple[Path, ...]:
    from vidground_core.report.paper_figures import write_figures

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        paths = write_figures(directory, figures)
    for each in caught:
        output.note(str(each.message))
    return paths


def _show(output: Output, page: Path, figures: list[str]) -> None:
    output.line(f"report: {page}")
    for path in figures:
        output.line(f"figure: {path}")


def _open(output: Output, page: Path) -> None:
    address = page.resolve().as_uri()
    try:
        opened = webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    if not opened:
        output.note(f"no browser could be opened here; open {address} in one, or set BROWSER to its command")
