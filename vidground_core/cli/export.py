"""vg export: the curated set in the format of a foreign trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli.app import Session
from vidground_core.cli.output import Output
from vidground_core.errors import ConfigError, nearest

Out = Annotated[Path, typer.Option("--out", help="Folder of the export; of several formats each has one of its name below.")]


def register(app: typer.Typer) -> None:
    """Adds `vg export`."""
    app.command("export")(export)


def export(
    ctx: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DIR", help="What vg filter, vg detect or vg run wrote, or any data set as NAME:PATH.")],
    out: Out,
    formats: Annotated[list[str], typer.Option("--format", help="A format; may be given several times. vg exporters lists them.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the format: task=sft; of several formats: trl.task=sft."),
    ] = None,
) -> None:
    """Write the curated set in the format of a foreign trainer, with the dropped set and the reasons beside it."""
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.exporting import ExportRequest, export_set

    session: Session = ctx.obj
    for name in formats:
        if formats.count(name) > 1:
            raise ConfigError(f"--format {name!r} is given twice; give each format once")
    exporters, passed = [], {}
    for name, settings in _settings_by_format(formats, sets or ()).items():
        exporter, options = _built(session, name, settings)
        exporters.append(exporter)
        passed[name] = options
    ready = prepare(session, {})
    request = ExportRequest(data, out, exporters)
    result = export_set(request, ready.assembly, ready.context, passed={"data": data, "exporters": passed})
    session.output.result(result, lambda: show_export(session.output, result))


def _settings_by_format(names: Sequence[str], sets: Sequence[str]) -> dict[str, list[str]]:
    """Each format's settings; with one format its name may be left out. Raises ConfigError."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for setting in sets:
        root, dot, rest = setting.partition(".")
        if dot and root in found and "=" in rest:
            found[root].append(rest)
        elif len(names) == 1:
            found[names[0]].append(setting)
        else:
            raise ConfigError(f"--set {setting!r}: with several formats write FORMAT.KEY=VALUE; {nearest(root, names)}")
    return found


def _built(session: Session, name: str, settings: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    from vidground_core.config import build, parse_settings
    from vidground_core.plugins import blame

    exporter = session.registry.get("exporter", name)
    options = parse_settings(settings)
    config = build(exporter.Config, options, f"exporter {name!r}")
    with blame("exporter", name, session.registry.origin("exporter", name)):
        return exporter(config), options


def show_export(output: Output, result: dict[str, Any]) -> None:
    """The result of an export for a person."""
    for one in result.get("exports", [result]):
        missing = f", {one['not_exported']} could not be" if one["not_exported"] else ""
        output.line(
            f"{one['format']}: {one['rows']} of {one['questions']} questions exported{missing}; {one['dropped']} dropped ones beside"
        )
        if one["not_exported"]:
            output.note(f"warning: {one['format']}: the first that could not be: {one['first_not_exported']}; all in not_exported.jsonl")
        for file in one["files"]:
            output.line(f"  {file}")
    for note in result.get("exports", [result])[0]["notes"]:
        output.note(note)
