"""What a verb prints: its result on standard output, everything else on standard error."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vidground_core.cli.progress import ProgressLine


class Output:
    """Where a verb's result and notes go. With `json`, standard output holds one JSON object and nothing else."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, debug: bool = False) -> None:
        self.as_json, self.quiet, self.debug = as_json, quiet, debug
        self.result_console = Console(file=sys.stdout, highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())
        self.note_console = Console(file=sys.stderr, highlight=False, emoji=False, soft_wrap=not sys.stderr.isatty())

    def result(self, value: dict[str, Any], show: Callable[[], None]) -> None:
        """Prints `value` as JSON, or calls `show` to print it for a person."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            show()

    def line(self, text: str) -> None:
        """A line of the result for a person."""
        self.result_console.print(text, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of the result; columns whose name starts with '>' are right-aligned."""
        if title:
            self.line(title)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        # In a pipe no line is folded, and none is padded to the width of a terminal.
        self.result_console.print(table) if sys.stdout.isatty() else _plain(table)

    def note(self, text: str) -> None:
        """A line for a person about what is going on; not printed with `--quiet`."""
        if not self.quiet:
            self.note_console.print(text, markup=False)

    def error(self, text: str) -> None:
        """An error; always printed."""
        self.note_console.print(f"error: {text}", markup=False)

    def stopped(self, text: str) -> None:
        """Why a run ended before its end, as it was told to; always printed."""
        self.note_console.print(f"stopped: {text}", markup=False)

    def event(self, facts: Mapping[str, Any]) -> None:
        """With `json`, one line of JSON on standard error; else nothing, and nothing with `--quiet`."""
        if self.as_json and not self.quiet:
            sys.stderr.write(json.dumps(facts, ensure_ascii=False) + "\n")
            sys.stderr.flush()

    def progress(self, label: str) -> ProgressLine:
        """A progress display for one piece of long work."""
        return ProgressLine(self, label)


def _plain(table: Table) -> None:
    text = io.StringIO()
    Console(file=text, width=10_000, highlight=False, emoji=False).print(table)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in text.getvalue().splitlines()))


def route_logging(output: Output) -> None:
    """Sends the package's warnings to standard error, one line each."""
    handler = _NoteHandler(output)
    root = logging.getLogger("vidground_core")
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if output.debug else logging.INFO)
    root.propagate = False
    for name in ("vidground_trl", "vidground_transformers", "vidground_openrlhf", "vidground_vllm", "vidground_ray"):
        logging.getLogger(name).parent = root


class _NoteHandler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.output.note_console.print(f"warning: {record.getMessage()}", markup=False)
        else:
            self.output.note(record.getMessage())


def percent(value: float | None, digits: int = 1) -> str:
    """A rate in 0..1 as per cent, '–' where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def interval(low_high: Sequence[float] | None, digits: int = 1) -> str:
    """An interval of rates as '[lo, hi]' in per cent."""
    return "–" if not low_high else f"[{percent(low_high[0], digits)}, {percent(low_high[1], digits)}]"
