"""Where the records of a detecting verb lie below its run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


def folder_name(name: str) -> str:
    """A component's or judge's name as a folder name: ':' becomes '--', anything else unsafe is percent-encoded."""
    return quote(name.replace(":", "--"), safe="")


@dataclass(frozen=True, slots=True)
class Layout:
    """Folder names below `root`, as `vg detect` has them by default; `vg eval` puts its tables under names of its own."""

    root: Path
    questions: str = "questions"
    corpus: str = "corpus"
    verdicts: str = "verdicts"
    stages: str = "stages"
    set_aside: str = "set_aside.jsonl"
    store: str = "replies.sqlite"

    @property
    def questions_folder(self) -> Path:
        """The table of questions."""
        return self.root / self.questions

    @property
    def set_aside_file(self) -> Path:
        """Rows and media that could not be used, JSON Lines."""
        return self.root / self.set_aside

    @property
    def store_file(self) -> Path:
        """The reply store of this run, where no shared one is named."""
        return self.root / self.store

    def verdicts_folder(self, detector: str) -> Path:
        """The table of one detector's verdicts, row by row beside the questions."""
        return self.root / self.verdicts / folder_name(detector)

    def stages_folder(self, detector: str) -> Path:
        """The finished stages of a corpus detector."""
        return self.root / self.stages / folder_name(detector)
