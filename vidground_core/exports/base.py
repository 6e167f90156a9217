"""An exporter writes the curated set in a foreign trainer's format."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.records import Question


class ExportConfig(ComponentConfig):
    """Options every exporter has."""


ExportConfigT = TypeVar("ExportConfigT", bound=ExportConfig)


@dataclass(frozen=True)
class Judged:
    """What one detector said of the whole set before the filter; rates in 0..1, None where nothing was judged.

    `accuracy` beside `chance`, and `corrected` = (accuracy − chance)/(1 − chance); intervals are 95%, over videos. `rule` is how trials
    became a verdict, `prompt` what was asked, empty where the detector has none; `model` what answered.
    """

    name: str
    version: str
    n: int
    accuracy: float | None
    chance: float | None
    corrected: float | None
    interval: tuple[float, float] | None
    answered: float | None
    rule: str = ""
    prompt: str = ""
    model: str = ""


@dataclass(frozen=True)
class Curation:
    """Where the questions come from: `policy` and `reasons` are empty for a set that no filter has seen."""

    source: str
    policy: str = ""
    version: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    total: int = 0
    kept: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    judges: Sequence[Judged] = ()
    expected_false_drops: float | None = None
    expected_errors_note: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportJob:
    """What an exporter is handed: the folder to write below, what is known of the set, and where rows go that cannot be written.

    `set_aside(question, reason)` lists a question in `not_exported.jsonl`; it then counts for no row. `rows` is filled by exporters of
    rows: rows by file name. `dropped` is a file to read: the dropped questions as they stand in `dropped.jsonl` too, `id`, `policy`,
    `version`, `reason`, `numbers` and the question in `vidground`; None for a set that no filter has seen.
    """

    out: Path
    set_aside: Callable[[Question, str], None]
    curation: Curation = Curation("")
    dropped: Path | None = None
    rows: dict[str, int] = field(default_factory=dict)
    _files: dict[str, Path] = field(default_factory=dict)

    def file(self, name: str) -> Path:
        """Where to write the file that `finish` will call `name`, below `out`: until then it lies beside, so a kill leaves no half file."""
        final = self.out / name
        final.parent.mkdir(parents=True, exist_ok=True)
        self._files[name] = final.with_name(f".{final.name}.part")
        return self._files[name]

    def finish(self) -> list[Path]:
        """Gives every file its name, flushed to disk before, in the order in which they were asked for."""
        for name, beside in self._files.items():
            with beside.open("rb") as written:
                os.fsync(written.fileno())
            beside.replace(self.out / name)
        return [self.out / name for name in self._files]

    def discard(self) -> None:
        """Removes what was written under no final name yet."""
        for beside in self._files.values():
            beside.unlink(missing_ok=True)


class Exporter(Component[ExportConfigT]):
    """Base of exporters. One row a question; a source with several turns stays several questions, kept apart by id.

    `loads` are the files that `canonical:FOLDER` loads back, all files of rows by default; `record` names the column (dots lead into
    nested ones) that holds the whole question as JSON text there, empty where rows are canonical rows themselves. `needs_judges` says
    that `ExportJob.curation` should have its judges, for which all verdicts are read.
    """

    Config: ClassVar[type[Any]] = ExportConfig
    record: ClassVar[str] = ""
    loads: ClassVar[tuple[str, ...]] = ()
    needs_judges: ClassVar[bool] = False

    def check(self, out: Path) -> None:
        """Raises ConfigError where the target could not read an export that lies in `out`."""

    @abstractmethod
    def export(self, questions: Iterator[Question], job: ExportJob) -> None:
        """Writes all questions as a stream into files that `job.file(name)` names; raises nothing for a single row, but sets it aside."""
        raise NotImplementedError
