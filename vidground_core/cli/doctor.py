"""vg doctor: what works here, what is missing, the command that mends it."""

from __future__ import annotations

import typer

from vidground_core.cli.app import Session


def register(app: typer.Typer) -> None:
    """Adds `vg doctor`."""
    app.command("doctor")(doctor)


def doctor(ctx: typer.Context) -> None:
    """Interpreter, back-ends, GPUs, decoders: what works here, what is missing, the command that mends it."""
    from vidground_core.experiments.doctor import examine

    session: Session = ctx.obj
    found = examine()

    def show() -> None:
        out = session.output
        out.line(f"python {found['python']}")
        out.line("packages: " + ", ".join(f"{name} {version}" for name, version in found["packages"].items()))
        out.line("decoders: " + (", ".join(f"{name} {version}" for name, version in found["decoders"].items()) or "none: pip install av"))
        out.line("gpus: " + ("; ".join(found["gpus"]) or "none; everything runs on the CPU"))
        cells = [(b["name"], "works" if b["works"] else "missing: " + ", ".join(b["missing"]), b["mend"]) for b in found["backends"]]
        out.table("", ("back-end", "state", "mend"), cells)

    session.output.result(found, show)
