"""vg datasets, detectors, engines, filters, trainers, exporters, executors: what is installed; with a name, its options."""

from typing import Annotated, Any

import typer
from pydantic_core import PydanticUndefined

from vidground_core.cli.app import Session
from vidground_core.plugins import KINDS


def register(app: typer.Typer) -> None:
    """Adds one verb for each kind of component."""
    for kind in KINDS:
        app.command(f"{kind}s", help=f"List the {kind}s there are; with a name, its options.")(_lister(kind))


def _lister(kind: str) -> Any:
    # Annotations are evaluated here, where `kind` is known; so no postponed evaluation in this file.
    def verb(ctx: typer.Context, name: Annotated[str | None, typer.Argument(help=f"A {kind} to describe.")] = None) -> None:
        session: Session = ctx.obj
        if name is None:
            _list(session, kind)
        else:
            _describe(session, kind, name)

    verb.__name__ = f"{kind}s"
    return verb


def _list(session: Session, kind: str) -> None:
    rows = [
        {"name": name, "version": cls.version, "plugin": plugin, "summary": cls.summary()}
        for name, cls, plugin in session.registry.each(kind)
    ]

    def show() -> None:
        if rows:
            session.output.table("", ("name", "version", "plugin", "what it is"), [tuple(row.values()) for row in rows])
        else:
            session.output.line(f"no {kind}s are installed")

    session.output.result({f"{kind}s": rows}, show)


def _describe(session: Session, kind: str, name: str) -> None:
    cls = session.registry.get(kind, name)
    options = [
        {"name": key, "type": _type(field.annotation), "default": _default(field), "description": field.description or ""}
        for key, field in cls.Config.model_fields.items()
    ]
    about = {"name": name, "version": cls.version, "plugin": session.registry.origin(kind, name), "summary": cls.summary()}

    def show() -> None:
        session.output.line(f"{name} {cls.version} ({about['plugin']}): {about['summary']}")
        rows = [(str(o["name"]), str(o["type"]), str(o["default"]), str(o["description"])) for o in options]
        session.output.table("", ("option", "type", "default", "description"), rows)

    session.output.result({**about, "options": options}, show)


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _default(field: Any) -> Any:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
