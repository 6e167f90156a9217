"""vg store: numbers of a reply store, several into one, old replies out, and a look at every row."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli.app import Session
from vidground_core.cli.output import Output

SECONDS_BETWEEN_LINES = 10.0

StorePath = Annotated[Path, typer.Argument(metavar="PATH", help="A reply store, or a run directory that has one.")]


def register(app: typer.Typer) -> None:
    """Adds `vg store` with `stats`, `merge`, `prune` and `check`."""
    group = typer.Typer(help="Look into, merge, prune and check reply stores.", no_args_is_help=True, rich_markup_mode=None)
    for command in (stats, merge, prune, check):
        group.command(command.__name__)(command)
    app.add_typer(group, name="store")


def stats(ctx: typer.Context, path: StorePath) -> None:
    """Replies, bytes and tokens by engine; the store is only read."""
    from vidground_core.runs.store_upkeep import store_stats

    session: Session = ctx.obj
    result = store_stats(path)
    session.output.result(result, lambda: _show_stats(session.output, result))


def _show_stats(output: Output, result: dict[str, Any]) -> None:
    log = f" and {_size(result['log_bytes'])} of write-ahead log" if result["log_bytes"] else ""
    output.line(f"{result['path']}: {result['replies']:,} replies in {_size(result['bytes'])}{log}, version {result['version']}")
    columns = (">replies", ">bytes", ">prompt tokens", ">generated", "first", "last", "engine")
    rows = [
        (
            f"{one['replies']:,}",
            _size(one["reply_bytes"]),
            f"{one['prompt_tokens']:,}",
            f"{one['generated_tokens']:,}",
            one["first"] or "–",
            one["last"] or "–",
            one["engine"],
        )
        for one in result["engines"]
    ]
    output.table("", columns, rows)


def merge(
    ctx: typer.Context,
    into: Annotated[
        Path,
        typer.Argument(
            metavar="INTO", help="The store to copy into; a name without a suffix is a run directory. Made where there is none."
        ),
    ],
    sources: Annotated[list[Path], typer.Argument(metavar="FROM...", help="Stores, or run directories, that are only read.")],
) -> None:
    """Copy the replies of stores into one; of two replies to one key the one in INTO stays."""
    from vidground_core.runs.store_upkeep import merge_stores

    session: Session = ctx.obj
    result = merge_stores(into, sources, advance=_now_and_then(session.output, "merged"))
    for one in result["sources"]:
        if one["damage"]:
            session.output.note(f"{one['path']}: damaged ({one['damage']}); what can be read of it was taken, the file is left as it is")
    session.output.result(result, lambda: _show_merge(session.output, result))


def _show_merge(output: Output, result: dict[str, Any]) -> None:
    counted = ("read", "added", "known", "conflicts", "unreadable")
    rows = [(one["path"], *(f"{one[name]:,}" for name in counted)) for one in result["sources"]]
    output.table("", ("from", *(f">{name}" for name in counted)), rows)
    if result["conflicts"]:
        output.line(f"conflicts: {result['conflicts']:,} keys had another reply already, which stays")
    output.line(f"{result['into']}: {result['added']:,} added, {result['replies']:,} replies now")


def prune(
    ctx: typer.Context,
    path: StorePath,
    engines: Annotated[
        list[str] | None,
        typer.Option("--engine", metavar="TEXT", help="Replies of engines whose identity has this in it; may be given several times."),
    ] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", min=0, help="Replies stored longer ago than so many days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
) -> None:
    """Take replies out and give the space back; with both options, those that both are true of."""
    from vidground_core.runs.store_upkeep import prune_store

    session: Session = ctx.obj
    advance = _now_and_then(session.output, "looked through")
    result = prune_store(path, engines=engines or (), older_than=older_than, dry_run=dry_run, advance=advance)
    would = "would be " if dry_run else ""
    freed = "" if dry_run else f"; {_size(result['freed_bytes'])} given back, {_size(result['bytes'])} left"
    text = f"{result['path']}: {result['pruned']:,} replies {would}taken out, {result['kept']:,} {would}kept{freed}"
    session.output.result(result, lambda: session.output.line(text))


def check(ctx: typer.Context, path: StorePath) -> None:
    """Look at every page and row; a damaged store is salvaged, and the damaged file kept beside it."""
    from vidground_core.runs.store_upkeep import check_store

    session: Session = ctx.obj
    result = check_store(path, advance=_now_and_then(session.output, "checked"))
    found = "sound" if result["sound"] else f"was damaged and is salvaged; the damaged file is kept as {', '.join(result['kept'])}"
    session.output.result(result, lambda: session.output.line(f"{result['path']}: {result['replies']:,} replies, {found}"))


def _now_and_then(output: Output, done_what: str) -> Callable[[int, int | None], None]:
    """Says how far long work is."""
    began = said = time.monotonic()

    def advance(done: int, total: int | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES:
            said = now
            output.note(f"{done_what} {done:,}{f' of {total:,}' if total else ''} replies, {done / (now - began):,.0f}/s")

    return advance


def _size(count: int) -> str:
    if count < 1_000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1_000**power:.1f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
