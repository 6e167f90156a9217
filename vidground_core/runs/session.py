"""What all detectors of one run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidground_core.events import Event
from vidground_core.runs.corpus import TableCorpus
from vidground_core.runs.layout import Layout
from vidground_core.runs.options import Progress, RunnerOptions
from vidground_core.runs.questions import QuestionTable
from vidground_core.runs.set_aside import SetAsideLog
from vidground_core.runs.standing import Standing
from vidground_core.runs.store import ReplyStore


@dataclass(frozen=True)
class Session:
    """The questions, the reply store and the listeners of one run."""

    layout: Layout
    questions: QuestionTable
    corpus: TableCorpus
    store: ReplyStore
    set_aside: SetAsideLog
    options: RunnerOptions
    on_event: Callable[[Event], None]
    progress: Progress | None = None

    def advance(self, detector: str, standing: Standing) -> None:
        """Tells the progress display, where there is one."""
        if self.progress is not None:
            self.progress.advance(detector, standing)
