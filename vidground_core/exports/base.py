"""An exporter writes the curated set in a foreign trainer's format."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.records import Question


class ExportConfig(ComponentConfig):
    """Options every exporter has."""


ExportConfigT = TypeVar("ExportConfigT", bound=ExportConfig)


class Exporter(Component[ExportConfigT]):
    """Base of exporters."""

    Config: ClassVar[type[Any]] = ExportConfig

    @abstractmethod
    def export(self, questions: Iterator[Question], out: Path) -> list[Path]:
        """Writes all questions below `out` as a stream and returns the files written."""
        raise NotImplementedError
