"""Flags that several verbs share, each written once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

DatasetArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="DATASET", help="NAME:PATH, a path whose layout is recognised, or a name such as planted.")
]
Detectors: TypeAlias = Annotated[list[str] | None, typer.Option("--detector", help="A detector; may be given several times.")]
Model: TypeAlias = Annotated[
    str | None, typer.Option("--model", help="Model: a path, a hub name, or nano (the small one that comes along).")
]
Engine: TypeAlias = Annotated[str | None, typer.Option("--engine", help="Engine that runs the model.")]
Executor: TypeAlias = Annotated[str | None, typer.Option("--executor", help="Where asks are answered.")]
Sets: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any option, such as blind-vlm.rotations=2.")
]
Out: TypeAlias = Annotated[Path, typer.Option("--out", help="Directory of this run; running the same command again resumes it.")]
Limit: TypeAlias = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many questions.")]
Seed: TypeAlias = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything that is drawn.")]
MaxFailures: TypeAlias = Annotated[
    float | None, typer.Option("--max-failures", min=0, help="Asks that may stay failed after retries: a count, or a fraction below 1.")
]
Store: TypeAlias = Annotated[str | None, typer.Option("--store", help="Reply store shared between runs.")]
MaxCost: TypeAlias = Annotated[
    float | None, typer.Option("--max-cost", min=0, help="US dollars that this command may spend, by the engine's prices; then it stops.")
]
MaxTokens: TypeAlias = Annotated[
    int | None, typer.Option("--max-tokens", min=0, help="Tokens, of prompts and generated, that this command may take; then it stops.")
]
Shard: TypeAlias = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Judge only the I-th of N shares of the questions, counted from 1.")
]
BatchOut: TypeAlias = Annotated[
    Path | None,
    typer.Option("--batch-out", metavar="FILE", help="Write the asks without a reply into an OpenAI batch file and send nothing."),
]
BatchIn: TypeAlias = Annotated[
    list[Path] | None, typer.Option("--batch-in", metavar="FILE", help="Results of a batch file; may be given several times.")
]
AuditOut: TypeAlias = Annotated[
    Path | None, typer.Option("--out", help="Directory that keeps verdicts and replies; without it only the table is printed.")
]


def given(**flags: Any) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None and value != []}


@contextmanager
def given_or_temporary(out: Path | None) -> Iterator[Path]:
    """The directory given, or one that is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="vg-audit-") as folder:
        yield Path(folder)
