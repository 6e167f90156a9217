"""vg doctor: what works here, what is missing, the command that mends it."""

from __future__ import annotations

from typing import Any

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
        out.table("", ("back-end", "state", "where"), [(b["name"], _state(b), b["note"]) for b in found["backends"]])
        for backend in found["backends"]:
            if backend["mend"]:
                out.line(f"\n# {backend['name']}")
                # Not folded to the terminal's width: these lines are to be pasted.
                out.result_console.print(backend["mend"], markup=False, soft_wrap=True)

    session.output.result(found, show)


def _state(backend: dict[str, Any]) -> str:
    place = f" in {backend['python']}" if backend["python"] else ""
    return f"works{place}" if backend["works"] else f"missing{place}: " + ", ".join(backend["missing"])
