"""How far long work is: a bar on a terminal, a plain line now and then in a pipe, JSON lines with `--json`."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from vidground_core.runs.standing import Standing

if TYPE_CHECKING:
    from vidground_core.cli.output import Output

SECONDS_TO_FIRST_LINE = 1.0
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_EVENTS = 1.0
_WINDOW_SECONDS = 60.0


class Pace:
    """Questions and asks a second over the last minute of this session; what was found done or stored already is not counted."""

    def __init__(self, now: float) -> None:
        self._points = deque([(now, 0, 0)])

    def add(self, now: float, judged: int, asked: int) -> None:
        """So many were judged and asked by now."""
        self._points.append((now, judged, asked))
        while len(self._points) > 2 and now - self._points[1][0] > _WINDOW_SECONDS:
            self._points.popleft()

    @property
    def rates(self) -> tuple[float, float]:
        """(questions, asks) a second."""
        (began, judged, asked), (now, judged_now, asked_now) = self._points[0], self._points[-1]
        seconds = max(now - began, 1e-9)
        return (judged_now - judged) / seconds, (asked_now - asked) / seconds


class ProgressLine:
    """One piece of work as a person, a log file or a program sees it. Use as a context manager."""

    def __init__(self, output: Output, label: str) -> None:
        self.output, self.label = output, label
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        now = time.monotonic()
        self._pace = Pace(now)
        self._next = now if output.as_json else now + SECONDS_TO_FIRST_LINE
        self._standing: Standing | None = None
        self._told: Standing | None = None

    def __enter__(self) -> ProgressLine:
        if not self.output.quiet and not self.output.as_json and self.output.note_console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
            self._bar = Progress(*columns, console=self.output.note_console, transient=True)
            self._task = self._bar.add_task(self.label, total=None, facts="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.output.as_json and self._standing is not None and self._standing != self._told:
            self.output.event(self._facts(self._standing))

    def update(self, standing: Standing | int, total: int | None = None) -> None:
        """Sets how far it is, as a run's standing or as a plain number of `total`; call it as often as wanted."""
        now = time.monotonic()
        if isinstance(standing, int):
            standing = Standing(standing, total or 0, standing)
        self._standing = standing
        self._pace.add(now, standing.judged, standing.asked)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=standing.done, total=standing.total or None, facts=self._text(standing))
        elif now >= self._next:
            self._told = standing
            if self.output.as_json:
                self._next = now + SECONDS_BETWEEN_EVENTS
                self.output.event(self._facts(standing))
            else:
                self._next = now + SECONDS_BETWEEN_LINES
                share = f" of {standing.total} ({100 * standing.done / standing.total:.1f}%)" if standing.total else ""
                self.output.note(f"{self.label}: {standing.done}{share}, {self._text(standing)}")

    def _facts(self, standing: Standing) -> dict[str, Any]:
        rate, asks = self._pace.rates
        return {
            "event": "progress",
            "detector": self.label,
            "done": standing.done,
            "total": standing.total,
            "asked": standing.asked,
            "reused": standing.reused,
            "failed": standing.failed,
            "rate": round(rate, 3),
            "asks_per_second": round(asks, 3),
            "tokens": standing.spent.tokens,
            "cost": standing.spent.cost,
            "seconds_left": None if (left := self._left(standing)) is None else round(left, 1),
        }

    def _left(self, standing: Standing) -> float | None:
        rate, _ = self._pace.rates
        return (standing.total - standing.done) / rate if rate > 0 and standing.total else None

    def _text(self, standing: Standing) -> str:
        counts = {"asked": standing.asked, "reused": standing.reused, "failed": standing.failed}
        facts = [f"{self._pace.rates[0]:.1f}/s", *(f"{number} {name}" for name, number in counts.items() if number)]
        if standing.spent.tokens:
            facts.append(f"{_short(standing.spent.tokens)} tokens")
        if standing.spent.cost:
            facts.append(f"${standing.spent.cost:.2f}")
        left = self._left(standing)
        return ", ".join(facts if left is None else [*facts, f"{duration(left)} left"])


def _short(number: int) -> str:
    """A count in three figures: 950, 12.3k, 4.57M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def duration(seconds: float) -> str:
    """A duration for a person: "45 s", "12 min", "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
