"""Progress of a run on to the display of its context."""

from __future__ import annotations

from contextlib import ExitStack

from vidground_core.experiments.context import Context, ProgressDisplay
from vidground_core.runs.standing import Standing


class RunProgress:
    """Shows how far each detector is; one display after the other. Use as a context manager."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stack = ExitStack()
        self._label = ""
        self._display: ProgressDisplay | None = None

    def advance(self, detector: str, standing: Standing) -> None:
        """Called by the runner as replies and verdicts come."""
        if detector != self._label or self._display is None:
            self._stack.close()
            self._label = detector
            self._display = self._stack.enter_context(self._context.progress(detector))
        self._display.update(standing)

    def __enter__(self) -> RunProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
